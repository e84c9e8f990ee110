package child

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/testsupport"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// A writer does what a spec wants.
type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// listening returns an output that listens, and who writes to it. It ends with the spec.
func listening(to io.Writer) (o *output, w *os.File) {
	GinkgoHelper()
	o = new(output).init("stderr", to)
	r, w := reader()
	Expect(o.pipe.open(r.file)).To(Succeed())
	go o.listen()
	DeferCleanup(func() {
		_ = w.Close()
		Eventually(o.silent).Should(BeClosed())
	})
	return o, w
}

// ended ends an output's pipe, and returns what it has kept, and why its writer did not take that.
func ended(o *output, w *os.File) (said string, err error) {
	GinkgoHelper()
	Expect(w.Close()).To(Succeed())
	Eventually(o.silent).Should(BeClosed())
	return o.excerpt(), o.failed()
}

// catchingUp catches up, elsewhere.
func catchingUp(o *output, done, left <-chan struct{}) (caughtUp chan struct{}) {
	caughtUp = make(chan struct{})
	go func() {
		o.catchUp(0, done, left)
		close(caughtUp)
	}()
	return caughtUp
}

var _ = Describe("who listens to stderr", func() {
	It("passes it on, and keeps it", func() {
		var b bytes.Buffer
		o, w := listening(&b)
		for range 3 {
			Expect(w.WriteString("text")).To(Equal(4))
		}
		o.catchUp(0, nil, nil)
		Expect(b.String()).To(Equal("texttexttext"))
		Expect(ended(o, w)).To(Equal("texttexttext"))
		o.catchUp(0, nil, nil)
	})

	It("just keeps it, if nobody wants it", func() {
		o, w := listening(nil)
		Expect(w.WriteString("text")).To(Equal(4))
		o.catchUp(0, nil, nil)
		Expect(ended(o, w)).To(Equal("text"))
	})

	It("keeps what was written before the limit", func() {
		o, w := listening(nil)
		Expect(w.WriteString(strings.Repeat("x", 10000))).To(Equal(10000))
		o.pipe.limit(time.Now())
		Eventually(o.silent).Should(BeClosed(), "though it has no end")
		Expect(o.excerpt()).To(HaveLen(10000))
	})

	It("keeps what was written before the limit if a deadline comes a little early", func() {
		// The runtime adds the time that is left to a reading of the clock that it has made before it asked for that.
		o, w := listening(nil)
		Expect(o.pipe.file.SetReadDeadline(time.Now())).To(Succeed())
		Consistently(o.silent, "5ms").ShouldNot(BeClosed())
		Expect(w.WriteString("text")).To(Equal(4))
		o.pipe.limit(time.Now())
		Eventually(o.silent).WithTimeout(5 * time.Second).Should(BeClosed())
		Expect(o.excerpt()).To(Equal("text"))
	})

	It("reads on when its writer fails", func() {
		calls := 0
		o, w := listening(writer(func([]byte) (int, error) { calls++; return 0, errEnough }))
		Expect(w.WriteString("text")).To(Equal(4))
		o.catchUp(0, nil, nil)
		Expect(w.WriteString("more")).To(Equal(4))
		said, err := ended(o, w)
		Expect(said).To(Equal("textmore"))
		Expect(err).To(MatchError(errEnough))
		Expect(calls).To(Equal(1))
	})

	It("passes nothing on once that is not wanted any more", func() {
		var b bytes.Buffer
		o, w := listening(&b)
		o.drop(nil)
		Expect(w.WriteString("text")).To(Equal(4))
		o.catchUp(0, nil, nil)
		Expect(ended(o, w)).To(Equal("text"))
		Expect(b.Len()).To(BeZero())
	})

	It("holds nothing back when a call returns, not even what may begin a warning of the runtime", func() {
		var b bytes.Buffer
		o, w := listening(&b)
		for _, text := range []string{"w", "\np", "rogram\n=", "=1==WARN"} {
			Expect(w.WriteString(text)).To(Equal(len(text)))
			o.catchUp(0, nil, nil)
			Expect(b.String()).To(HaveSuffix(text))
		}
	})

	It("takes warnings of the runtime out, wherever they lie in the pipe", func() {
		const warning = "warning: GOCOVERDIR not set, no coverage data emitted\n"
		if !testsupport.Instrumented() {
			Skip("without -cover there are no such warnings")
		}
		for offset := range len(warning) + 1 {
			var b bytes.Buffer
			o, w := listening(&b)
			before := strings.Repeat("x", 4095-offset) + "\n" // the end of a piece is in the warning
			specs.OK(w.WriteString(before + warning + "rest"))
			o.catchUp(0, nil, nil)
			Expect(b.String()).To(Equal(before + "rest"))
			specs.OK(ended(o, w))
		}
	})

	for _, end := range []string{"ends its goroutine", "fails", "returns"} {

		It("has nobody wait for a writer that blocks, and then "+end, func() {
			blocked, release := make(chan struct{}), make(chan struct{})
			o, w := listening(writer(func(b []byte) (int, error) {
				close(blocked)
				<-release
				switch end {
				case "fails":
					return 0, errEnough
				case "ends its goroutine":
					runtime.Goexit()
				}
				return len(b), nil
			}))
			Expect(w.WriteString("text")).To(Equal(4))
			<-blocked
			done, left := make(chan struct{}), make(chan struct{})
			byDone, byLeaving, bySelf := catchingUp(o, done, nil), catchingUp(o, nil, left), catchingUp(o, nil, nil)
			Consistently(byDone, "10ms").ShouldNot(BeClosed())
			close(done)
			Eventually(byDone).Should(BeClosed())
			Expect(byLeaving).NotTo(BeClosed())
			close(left)
			Eventually(byLeaving).Should(BeClosed())
			Expect(bySelf).NotTo(BeClosed())
			close(release)
			Eventually(bySelf).WithTimeout(5*time.Second).Should(BeClosed(), "though stderr has no end")
			Expect(o.failed() != nil).To(Equal(end == "fails"))
		})
	}

	It("catches up with many who write", func() {
		var passed atomic.Int64
		o, w := listening(writer(func(b []byte) (int, error) { passed.Add(int64(len(b))); return len(b), nil }))
		var all sync.WaitGroup
		written := make(chan int, 1)
		written <- 0
		for range 8 {
			all.Go(func() {
				defer GinkgoRecover()
				for range 50 {
					n := <-written
					_, err := w.Write(make([]byte, 100))
					written <- n + 100
					Expect(err).NotTo(HaveOccurred())
					o.catchUp(0, nil, nil)
					Expect(passed.Load()).To(BeNumerically(">=", n+100))
				}
			})
		}
		all.Wait()
	})

	It("does not hold up the end of a run whose caller has left", func() {
		release := make(chan struct{})
		p := start(Spec{Stderr: writer(func(b []byte) (int, error) { <-release; return len(b), nil })}, "echo x >&2")
		<-p.Exited()
		p.Leave(errEnough)
		waited := make(chan Outcome, 1)
		go func() { waited <- p.Wait() }()
		var outcome Outcome
		Eventually(waited).Should(Receive(&outcome), "though the writer blocks")
		Expect(outcome.Stderr).To(Equal("x\n"))
		close(release)
	})

	It("tells why it could not pass it on", func() {
		p := start(Spec{Stderr: writer(func([]byte) (int, error) { return 0, errEnough })}, "echo x >&2; read x")
		p.CatchUp(nil)
		_, outcome := told(p)
		Expect(outcome.Relay).To(MatchError(errEnough))
		Expect(errors.Join(outcome.Killed, outcome.Left)).To(BeNil())
		p.Close()
		Expect(p.Wait().Relay).To(MatchError(errEnough), "also later")
	})
})
