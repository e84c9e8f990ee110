package call

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/child"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

// once has a child of its own serve a call.
func once(ctx context.Context, spec Spec, r request) *Once {
	GinkgoHelper()
	o := ok(Begin(ctx, spec, param(ctx, r)))
	DeferCleanup(func() { o.Kill(errEnough) })
	return o
}

// stream is a function that answers with events, too.
func stream() Spec {
	spec := obedient()
	spec.Stream = true
	return spec
}

var _ = Describe("a child for a single call", func() {

	It("answers and ends", func() {
		o := once(background, plain(), request{Text: strings.Repeat("x", 2<<20)})
		answer := ok(o.Next())
		g.Expect(answer.Kind()).To(g.Equal(Result))
		g.Expect(len(answer.value)).To(g.BeNumerically(">", 2<<20))
		_, err := o.Next()
		g.Expect(err).To(g.Equal(errOver))
		end := o.Finish()
		g.Expect(errors.Join(end.Status, end.Killed, end.Left, end.Fault, end.Cancelled)).NotTo(g.HaveOccurred())
		g.Expect(end.NotBegun).To(g.BeFalse())
	})

	It("gets files", func() {
		r, w := pipes()
		o := once(background, plain(), request{File: w})
		answer := ok(o.Next())
		answer.Close()
		p := param(background, request{File: w})
		g.Expect(w.Close()).To(g.Succeed())
		g.Expect(o.Finish().Status).NotTo(g.HaveOccurred())
		g.Expect(io.ReadAll(r)).To(g.BeEmpty())
		_, err := Begin(background, plain(), p)
		g.Expect(err).To(g.And(g.BeAssignableToTypeOf(&UnsentError{}), g.MatchError(os.ErrClosed)))
		p.files[0] = r
		spec := plain()
		spec.Tune = []func(*exec.Cmd){func(cmd *exec.Cmd) { cmd.Path = "/nowhere" }}
		_, err = Begin(background, spec, p)
		g.Expect(err).To(g.MatchError(syscall.ENOENT))
	})

	It("whose files cannot be sent has not begun, and is killed", func() {
		o := once(background, plain(), request{Do: "sleep"})
		o.fail(o.call, errEnough)
		_, err := o.Next()
		g.Expect(err).To(g.Equal(&UnsentError{errEnough}))
		g.Expect(o.Finish().Killed).To(g.Equal(err))
	})

	It("that fails, panics, or ends says so", func() {
		for do, kind := range map[string]Kind{"panic": Panicked, "exit": 0} {
			o := once(background, plain(), request{Do: do, Text: "oh"})
			answer, err := o.Next()
			end := o.Finish()
			if kind == 0 {
				g.Expect(err).To(g.Equal(errOver))
				g.Expect(end.Status).To(g.MatchError("exit status 3"))
				g.Expect(end.NotBegun || end.Unread).To(g.BeFalse())
			} else {
				g.Expect(answer.Kind()).To(g.Equal(kind))
				g.Expect(string(end.Word.value)).To(g.ContainSubstring("oh"))
			}
		}
	})

	It("sends events until no more are wanted", func() {
		o := once(background, stream(), request{Do: "count"})
		for i := range 100 {
			answer := ok(o.Next())
			g.Expect(answer.Kind()).To(g.Equal(Event))
			var got int
			g.Expect(answer.Decode(&got)).To(g.Succeed())
			g.Expect(got).To(g.Equal(i))
		}
		o.Break()
		g.Expect(o.answered).To(g.BeTrue())
		end := o.Finish()
		g.Expect(errors.Join(end.Killed, end.Cancelled, end.Status)).NotTo(g.HaveOccurred())
	})

	It("sends no events after the end of its context", func() {
		ctx, cancel := context.WithCancelCause(background)
		o := once(ctx, stream(), request{Do: "count"})
		for range 10 {
			_ = ok(o.Next())
		}
		o.arrived()
		cancel(errEnough)
		answer := ok(o.Next())
		g.Expect(answer.Kind()).To(g.Equal(Result), "what lies in the pipe is dropped")
		end := o.Finish()
		g.Expect(end.Cancelled).To(g.Equal(errEnough))
		g.Expect(end.Killed).NotTo(g.HaveOccurred())
	})

	It("is told of the end of its context, and then has the grace period", func() {
		ctx, cancel := context.WithCancelCause(background)
		o := once(ctx, obedient(), request{Do: "wait"})
		cancel(errEnough)
		answer := ok(o.Next())
		g.Expect(answer.Kind()).To(g.Equal(Failed))
		g.Expect(string(answer.value)).To(g.ContainSubstring("enough"))
		end := o.Finish()
		g.Expect(end.Cancelled).To(g.Equal(errEnough))
		g.Expect(end.Killed).NotTo(g.HaveOccurred())

		spec, heard := obedient().hearing()
		spec.Grace = short
		ctx, cancel = context.WithCancelCause(background)
		o = once(ctx, spec, request{Do: "sleep", Text: "begun"})
		g.Eventually(heard).Should(g.Receive())
		cancel(errEnough)
		_, err := o.Next()
		g.Expect(err).To(g.Equal(errOver))
		end = o.Finish()
		g.Expect(end.Killed).To(g.Equal(errEnough))
		g.Expect(string(end.Stack)).To(g.ContainSubstring("(*request).obey"))
	})

	It("that knows no context is killed, and says where it was", func() {
		spec, heard := plain().hearing()
		ctx, cancel := context.WithCancelCause(background)
		o := once(ctx, spec, request{Do: "sleep", Text: "begun"})
		g.Eventually(heard).Should(g.Receive())
		cancel(errEnough)
		_, err := o.Next()
		g.Expect(err).To(g.Equal(errOver))
		end := o.Finish()
		g.Expect(end.Killed).To(g.Equal(errEnough))
		g.Expect(end.NotBegun).To(g.BeFalse())
		g.Expect(string(end.Stack)).To(g.ContainSubstring("(*request).obey"))
	})

	DescribeTable("gives the answer that has arrived before the end of the context", func(spec Spec) {
		ctx, cancel := context.WithCancelCause(background)
		o := once(ctx, spec, request{Text: "here"})
		o.arrived()
		cancel(errEnough)
		answer := ok(o.Next())
		g.Expect(answer.Kind()).To(g.Equal(Result))
		end := o.Finish()
		g.Expect(end.Cancelled).NotTo(g.HaveOccurred())
		g.Expect(end.Killed).To(g.Or(g.BeNil(), g.Equal(child.ErrLingers)))
	},
		Entry("of a plain function", plain()),
		Entry("of one that obeys its context", obedient()),
	)

	It("that has not begun says so", func() {
		spec := plays("hostile", "linger")
		ctx, cancel := context.WithCancelCause(background)
		o := once(ctx, spec, request{})
		cancel(errEnough)
		_, err := o.Next()
		g.Expect(err).To(g.Equal(errOver))
		end := o.Finish()
		g.Expect(end.NotBegun && end.Unread).To(g.BeTrue())
		g.Expect(end.Killed).To(g.Equal(errEnough))

		end = once(background, plays("hostile"), request{}).Finish()
		g.Expect(end.NotBegun && end.Unread).To(g.BeTrue())
		g.Expect(end.Status).NotTo(g.HaveOccurred())
	})

	It("may be killed while its answer is decoded", func() {
		o := once(background, stream(), request{Do: "count"})
		_ = ok(o.Next())
		o.Kill(errEnough)
		g.Expect(o.p.Exited()).To(g.BeClosed())
	})

})
