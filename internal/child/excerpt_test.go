package child

import (
	"fmt"
	"math/rand/v2"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = DescribeTable("an excerpt", func(text string, limit int, expected string) {
	Expect(Excerpt(text, limit)).To(Equal(expected))
},
	Entry("of nothing", "", 3, ""),
	Entry("of what fits", "abcdef", 3, "abcdef"),
	Entry("of a byte more", "abcdefg", 3, "abc\n[... 1 bytes left out ...]\nefg"),
	Entry("of much more", strings.Repeat("x", 1000)+"end", 3, "xxx\n[... 997 bytes left out ...]\nend"),
	Entry("without limit for anything", "abc", 0, "\n[... 3 bytes left out ...]\n"),
)

var _ = It("is the same however it is written, in bounded memory", func() {
	random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 0))
	for range 2000 {
		text := make([]byte, random.IntN(200))
		for i := range text {
			text[i] = byte('a' + random.IntN(26))
		}
		e := excerpt{limit: 1 + random.IntN(20)}
		for rest := text; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			Expect(e.Write(rest[:n])).To(Equal(n))
			rest = rest[n:]
			Expect(len(e.head) + len(e.tail)).To(BeNumerically("<=", 3*e.limit))
			_ = e.String() // may be asked for at any time
		}
		expected := string(text)
		if dropped := len(text) - 2*e.limit; dropped > 0 {
			expected = fmt.Sprintf("%s\n[... %d bytes left out ...]\n%s", text[:e.limit], dropped, text[len(text)-e.limit:])
		}
		Expect(e.String()).To(Equal(expected))
	}
})
