package call

import (
	"context"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

// startOnce has a child of its own serve a call.
func startOnce(ctx context.Context, spec Spec, r request) *once {
	GinkgoHelper()
	o := specs.OK(begin(ctx, spec, &r))
	DeferCleanup(func() {
		o.p.Leave(errEnough)
		o.close()
	})
	return o
}

var _ = Describe("a child for a single call", func() {
	DescribeTable("gives the answer that has arrived before the end of the context", func(spec Spec) {
		ctx, cancel := context.WithCancelCause(background)
		o := startOnce(ctx, spec, request{Text: "here"})
		o.arrived()
		cancel(errEnough)
		answer := specs.OK(o.next())
		g.Expect(answer.Kind).To(g.Equal(Result))
		end := o.close()
		g.Expect(end.Cancelled).NotTo(g.HaveOccurred())
		g.Expect(end.Killed).To(g.Or(g.BeNil(), g.Equal(child.ErrLingers)))
	},
		Entry("of a plain function", plain()),
		Entry("of one that obeys its context", obedient()),
	)

	It("that has not begun says so", func() {
		spec := plays("hostile", "linger")
		ctx, cancel := context.WithCancelCause(background)
		o := startOnce(ctx, spec, request{})
		cancel(errEnough)
		_, err := o.next()
		g.Expect(err).To(g.Equal(errOver))
		end := o.close()
		g.Expect(end.NotBegun && end.Unread).To(g.BeTrue())
		g.Expect(end.Killed).To(g.Equal(errEnough))

		end = startOnce(background, plays("hostile"), request{}).close()
		g.Expect(end.NotBegun && end.Unread).To(g.BeTrue())
		g.Expect(end.Status).NotTo(g.HaveOccurred())
	})
})
