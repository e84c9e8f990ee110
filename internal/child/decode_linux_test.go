package child

import (
	"reflect"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = DescribeTable("an answer", func(script string, expected any, message string) {
	spec := Spec{Grace: time.Minute}
	if longer := regexp.MustCompile("sleep (60|2|0.1)"); longer.MatchString(script) {
		spec.Grace = short
	}
	p := start(spec, script)
	var result any
	seen, err := p.Decode(&result)
	outcome := p.Wait()
	if message != "" {
		Expect(err).To(MatchError(ContainSubstring(message)))
		Expect(seen).To(Equal(expected))
		return
	}
	Expect(err).NotTo(HaveOccurred())
	Expect(seen).To(BeEmpty())
	Expect(reflect.DeepEqual(result, expected)).To(BeTrue(), "%v", result)
	Expect(outcome.Killed).To(Or(BeNil(), Equal(ErrLingers)))
},
	Entry("a number", "echo 42", 42., ""),
	Entry("a number without newline", "printf ' 42'", 42., ""),
	Entry("a number in pieces", "printf 4; sleep 0.02; printf 2; sleep 0.02; echo 1", 421., ""),
	Entry("a word in pieces, which is none before its end", "printf tr; sleep 0.1; printf ue", true, ""),
	Entry("a text in pieces", `printf '\n"te'; sleep 0.1; printf '\\"xt"'`, `te"xt`, ""),
	Entry("a text of escapes, in pieces", `printf '"\\'; sleep 0.02; printf '\\\\'; sleep 0.02; printf '"a\\\\'; sleep 0.02; printf '"'`, `\"a\`, ""),
	Entry("an object in pieces", `printf '{"a":1'; sleep 0.1; printf '}'`, map[string]any{"a": 1.}, ""),
	Entry("more than one", "echo 1 2", 1., ""),
	Entry("an object, and the child lingers", "printf '{}'; exec sleep 60", map[string]any{}, ""),
	Entry("nothing", "", "", "EOF"),
	Entry("half of one", `printf '{"a":'`, `{"a":`, "unexpected EOF"),
	Entry("half of one, and a descendant holds the pipe", `printf '{"a":'; sleep 20 &`, `{"a":`, ErrHeld.Error()),
	Entry("nothing, and a descendant holds the pipe", `sleep 20 &`, "", ErrHeld.Error()),
	Entry("nonsense", "printf 'no, sorry'; sleep 0.02; printf ' for that'", "no, sorry for that", "invalid character 'o'"),
	Entry("nonsense, and the child lingers", "printf '?'; exec sleep 60", "?", "invalid character '?'"),
)

var _ = Describe("an answer", func() {
	It("is dropped where none is wanted", func() {
		p := start(Spec{}, "echo not JSON")
		Expect(p.Decode(nil)).To(BeEmpty())
		Expect(p.Wait().Status).NotTo(HaveOccurred())
	})

	It("may be a long text, of which only the end is looked at", func() {
		written := func(text string) *excerpt {
			e := &excerpt{limit: maxQuoted}
			_, _ = e.Write([]byte(text))
			return e
		}
		e := written(`"` + strings.Repeat(`\"`, 16<<20))
		for range 10_000 { // looking at all of it would take half an hour
			Expect(e.mayBeScalar()).To(BeFalse())
		}
		long := strings.Repeat(" or more", 100)
		for _, text := range []string{``, ` `, `"`, `"\"`, `"\\\"`, `"a`, `"a\`, `"a\"` + long, `"` + long + `\"`, `["` + long + `"`, "[1]", "tru"} {
			Expect(written(text).mayBeScalar()).To(BeFalse(), text)
		}
		for _, text := range []string{`""`, `"a"`, `"\\"`, `"a\"\\\\"`, `"a\"` + long + `"`, `"` + long + `\\"`, strings.Repeat("1", 1000), "true"} {
			Expect(written(text).mayBeScalar()).To(BeTrue(), text)
		}
	})
})
