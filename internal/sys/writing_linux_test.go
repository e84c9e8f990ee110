package sys

import (
	"bytes"
	"io"
	"os"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

var _ = Describe("a writing", func() {
	writing := func(w *os.File, parts ...[]byte) *Writing {
		GinkgoHelper()
		writing := new(Writing)
		writing.Init(specs.OK(w.SyscallConn()), parts)
		return writing
	}
	// waiting waits for a writing, which is larger than a pipe, to end.
	waiting := func(w *Writing) (waited chan error) {
		GinkgoHelper()
		waited = make(chan error, 1)
		go func() { waited <- w.Wait() }()
		g.Consistently(waited, "10ms").ShouldNot(g.Receive())
		return waited
	}
	large := func(b byte) []byte { return bytes.Repeat([]byte{b}, 200_000) }

	It("is done at once where there is room", func() {
		r, w := pipe()
		again := writing(w, []byte("a"), nil, []byte("bc"))
		for range 2 {
			g.Expect(again.Done()).To(g.BeFalse())
			g.Expect(again.Now()).To(g.BeTrue())
			g.Expect(again.Wait()).To(g.Succeed())
			again.Init(again.conn, [][]byte{[]byte("abc")})
		}
		g.Expect(writing(w).Wait()).To(g.Succeed())
		g.Expect(w.Close()).To(g.Succeed())
		g.Expect(io.ReadAll(r)).To(g.BeEquivalentTo("abcabc"))
	})

	It("goes on where it was, and leaves the caller's slice as it is", func() {
		r, w := pipe()
		parts := [][]byte{[]byte("begin"), large('x'), []byte("end")}
		writing := writing(w, parts...)
		g.Expect(writing.Now()).To(g.BeFalse())
		waited := waiting(writing)
		got := make([]byte, 5+200_000+3)
		g.Expect(io.ReadFull(r, got)).To(g.Equal(len(got)))
		g.Eventually(waited).Should(g.Receive(g.BeNil()))
		g.Expect(bytes.Equal(got, bytes.Join(parts, nil))).To(g.BeTrue())
		g.Expect(parts[1]).To(g.HaveLen(200_000))
	})

	DescribeTable("keeps its memory to itself once it is detached", func(detached, waits bool) {
		r, w := pipe()
		memory := large('a')
		writing := writing(w, memory, memory)
		g.Expect(writing.Now()).To(g.BeFalse())
		var waited chan error
		if waits {
			waited = waiting(writing)
		}
		if detached {
			writing.Detach()
		}
		if detached || !waits { // else it is a race
			copy(memory, large('b'))
		}
		if !waits {
			waited = waiting(writing)
		}
		got := make([]byte, 400_000)
		g.Expect(io.ReadFull(r, got)).To(g.Equal(len(got)))
		g.Eventually(waited).Should(g.Receive(g.BeNil()))
		g.Expect(bytes.ContainsRune(got, 'b')).To(g.Equal(!detached && !waits))
	},
		Entry("before it waits", true, false),
		Entry("while it waits", true, true),
		Entry("but not before", false, false),
	)

	DescribeTable("ends with", func(how func(r, w *os.File) error) {
		r, w := pipe()
		writing := writing(w, large('x'))
		g.Expect(writing.Now()).To(g.BeFalse())
		waited := waiting(writing)
		g.Expect(how(r, w)).To(g.Succeed())
		g.Eventually(waited).Should(g.Receive(g.And(g.Equal(ErrUnread), g.MatchError(syscall.EPIPE))))
		g.Expect(writing.Done()).To(g.BeFalse())
	},
		Entry("its reader", func(r, _ *os.File) error { return r.Close() }),
		Entry("its time", func(_, w *os.File) error { return w.SetDeadline(time.Now()) }),
	)
})
