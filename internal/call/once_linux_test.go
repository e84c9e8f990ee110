package call

import (
	"context"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

// once has a child of its own serve a call.
func once(ctx context.Context, spec Spec, r request) *Once {
	GinkgoHelper()
	o := specs.OK(Begin(ctx, spec, &r))
	DeferCleanup(func() { o.Kill(errEnough) })
	return o
}

var _ = Describe("a child for a single call", func() {
	It("whose files cannot be sent has not begun, and is killed", func() {
		o := once(background, plain(), request{Do: "sleep"})
		o.fail(o.call, errEnough)
		_, err := o.Next()
		g.Expect(err).To(g.Equal(&UnsentError{errEnough}))
		g.Expect(o.Finish().Killed).To(g.Equal(err))
	})

	DescribeTable("gives the answer that has arrived before the end of the context", func(spec Spec) {
		ctx, cancel := context.WithCancelCause(background)
		o := once(ctx, spec, request{Text: "here"})
		o.arrived()
		cancel(errEnough)
		answer := specs.OK(o.Next())
		g.Expect(answer.Kind).To(g.Equal(Result))
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
})
