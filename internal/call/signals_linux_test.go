package call

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/sys"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// signal sends a signal to the child.
func (c *Conversation) signal(s syscall.Signal) {
	GinkgoHelper()
	g.Expect(syscall.Kill(c.p.PID(), s)).To(g.Succeed())
}

var _ = Describe("a signal for a whole process group", func() {

	DescribeTable("does not end a worker that serves no call", func(spec Spec, again int) {
		w := worker(spec, 2)
		w.result(request{})
		for range again {
			for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
				w.signal(s)
			}
			if spec.Context { // a plain function might begin before they have been caught
				w.result(request{})
			}
		}
		g.Consistently(w.Exited(), "20ms").ShouldNot(g.BeClosed())
		end := w.Close()
		g.Expect(end.Idle).To(g.BeTrue())
		g.Expect(end.Status).NotTo(g.HaveOccurred())
	},
		Entry("of a plain function", plain(), 1),
		Entry("of one that obeys its context", obedient(), 10),
	)

	It("ends a plain function, whose call waits a moment for its context's end", func() {
		spec, heard := plain().hearing()
		for _, cancels := range []bool{false, true} {
			ctx, cancel := context.WithCancelCause(background)
			w := worker(spec, 1)
			call := w.calling(ctx, request{Do: "sleep", Text: "begun"})
			g.Eventually(heard).Should(g.Receive())
			time.Sleep(2 * while) // both while it is caught and later it is the same to a caller, but not to what is tested
			w.signal(syscall.SIGTERM)
			if cancels {
				g.Eventually(w.Exited()).Should(g.BeClosed())
				cancel(errEnough)
			}
			end := ended(call)
			g.Expect(sys.EndedBy(end.State)).To(g.Equal(syscall.SIGTERM))
			g.Expect(end.Killed).To(g.BeNil())
			g.Expect(end.Cancelled != nil).To(g.Equal(cancels))
			cancel(nil)
		}
	})

	It("ends a function that obeys its context after the grace period, if its parent decides nothing", func() {
		spec, heard := obedient().hearing()
		spec.Grace = short
		o := once(background, spec, request{Do: "sleep", Text: "begun"})
		g.Eventually(heard).Should(g.Receive())
		begin := time.Now()
		o.signal(syscall.SIGTERM)
		_, err := o.Next()
		g.Expect(err).To(g.Equal(errOver))
		g.Expect(time.Since(begin)).To(g.BeNumerically(">=", short))
		g.Expect(sys.EndedBy(o.Finish().State)).To(g.Equal(syscall.SIGTERM))
	})

	It("leaves a function that obeys its context the grace period from its cancellation on", func() {
		spec, heard := obedient().hearing()
		spec.Grace = 2 * time.Second
		ctx, cancel := context.WithCancelCause(background)
		o := once(ctx, spec, request{Do: "signals", Text: "begun"})
		g.Eventually(heard).Should(g.Receive())
		o.signal(syscall.SIGTERM)
		g.Consistently(o.p.Exited(), "20ms").ShouldNot(g.BeClosed())
		cancel(errEnough)
		answer := ok(o.Next())
		var got request
		g.Expect(answer.Decode(&got)).To(g.Succeed())
		g.Expect(got.Text).To(g.Equal("1"), "a function with a Notify of its own gets it once")
		g.Expect(o.Finish().Status).NotTo(g.HaveOccurred())
	})

	It("ends the first process of a PID namespace, too, which is out of its own reach", func() {
		specs.NeedsRoot()
		spec, heard := obedient().hearing()
		spec.Grace = short
		spec.Tune = []func(*exec.Cmd){func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
		}}
		o := once(background, spec, request{Do: "sleep", Text: "begun"})
		g.Eventually(heard).Should(g.Receive())
		o.signal(syscall.SIGTERM)
		_, err := o.Next()
		g.Expect(err).To(g.Equal(errOver))
		end := o.Finish()
		g.Expect(end.Status).To(g.MatchError("exit status 2"))
		var text string
		g.Expect(end.Word.Decode(&text)).To(g.Succeed())
		g.Expect(text).To(g.Equal("child was ended by signal: terminated"))
	})

	It("stays ignored if the parent ignores it", func() {
		signal.Ignore(syscall.SIGINT)
		DeferCleanup(signal.Reset, syscall.SIGINT)
		spec := obedient()
		spec.Grace = short
		w := worker(spec, 1)
		g.Expect(w.result(request{Do: "ignored"}).Text).To(g.Equal("true"))
		call := w.calling(background, request{Do: "nap", Time: 2 * short})
		w.sent(1)
		w.signal(syscall.SIGINT)
		g.Eventually(call).Should(g.Receive(g.BeNil()))
		g.Expect(w.result(request{Do: "ignored"}).Text).To(g.Equal("true"))
	})

	// caught has a server catch a signal while it serves a call, without doing what it asks for before an hour has passed.
	caught := func(c *caller) {
		GinkgoHelper()
		c.server.signals.obey(syscall.SIGTERM)
		g.Expect(c.waits()).To(g.BeTrue())
	}

	It("is void in a child when its parent decides", func() {
		c := serve(Function{Context: true, Call: obeys}, 2)
		c.server.signals.caught = make(chan os.Signal)
		c.server.signals.catching = true
		c.server.signals.obey(syscall.SIGTERM)
		g.Expect(c.waits()).To(g.BeFalse(), "no call is being served")
		c.call(header{call: 1}, nil)
		c.serves(1)
		for what, decides := range map[string]func(){
			"to cancel": func() { c.cancel(9, "enough") },
			"to close":  func() { tell(c.socket, header{kind: closing}, nil) },
			"to call":   func() { c.call(header{call: 2}, nil) },
		} {
			caught(c)
			c.server.signals.obey(syscall.SIGINT) // the first one counts
			decides()
			g.Eventually(c.waits).Should(g.BeFalse(), what)
		}
		c.serves(2)
		c.cancel(1, "enough")
		c.next(Result)
		caught(c) // one call is left
		c.cancel(2, "enough")
		c.next(Result)
		g.Expect(c.waits()).To(g.BeFalse(), "all have ended")
		c.call(header{call: 3}, nil)
		c.serves(1)
		caught(c)
		g.Expect(c.socket.Close()).To(g.Succeed())
		g.Eventually(c.waits).Should(g.BeFalse(), "by its own end")
		c.next(Result)
	})

})

// waits tells whether a signal waits for the parent's decision.
func (c *caller) waits() bool {
	c.server.signals.mu.Lock()
	defer c.server.signals.mu.Unlock()
	return c.server.signals.end != nil
}
