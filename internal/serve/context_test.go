package serve

import (
	"context"
	"errors"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("the context of a call", func() {

	var errEnough = errors.New("enough")

	It("has no end of its own", func() {
		c := newContext(0)
		_, ok := c.Deadline()
		Expect(ok).To(BeFalse())
		Expect(c.Done()).NotTo(BeClosed())
		Expect(c.Err()).NotTo(HaveOccurred())
		Expect(context.Cause(c)).NotTo(HaveOccurred())
		Expect(c.Value("key")).To(BeNil())
	})

	It("knows a deadline, but does not obey it", func() {
		c := newContext(time.Unix(1, 5).UnixNano())
		deadline, ok := c.Deadline()
		Expect(ok).To(BeTrue())
		Expect(deadline).To(Equal(time.Unix(1, 5)))
		Consistently(c.Done(), "10ms").ShouldNot(BeClosed())
		derived, cancel := context.WithTimeout(c, time.Hour)
		defer cancel()
		Expect(derived.Err()).NotTo(HaveOccurred())
		inherited, _ := derived.Deadline()
		Expect(inherited).To(Equal(deadline))
	})

	DescribeTable("ends as the parent says", func(err, cause error) {
		type key struct{}
		c := newContext(0)
		derived, cancel := context.WithCancel(context.WithValue(c, key{}, "value"))
		defer cancel()
		late, cancelLate := context.WithTimeout(derived, time.Hour)
		defer cancelLate()
		var apart context.Context = struct{ context.Context }{late} // of no type that package context knows
		further, cancelFurther := context.WithCancel(apart)
		defer cancelFurther()
		contexts := []context.Context{c, derived, late, apart, further}
		seen := make(chan error, len(contexts)+1)
		for _, ctx := range contexts {
			context.AfterFunc(ctx, func() { seen <- ctx.Err() })
		}
		stop := context.AfterFunc(c, func() { seen <- errors.New("was stopped") })
		Expect(stop()).To(BeTrue())

		c.end(err, cause)
		c.end(context.Canceled, errors.New("too late"))
		for range contexts {
			Eventually(seen).Should(Receive(Equal(err)))
		}
		for _, ctx := range contexts {
			Eventually(ctx.Done()).Should(BeClosed())
			Expect(ctx.Err()).To(Equal(err))
			Expect(context.Cause(ctx)).To(Equal(cause))
		}
		Expect(further.Value(key{})).To(Equal("value"))
		Expect(seen).NotTo(Receive())

		after, cancelAfter := context.WithCancel(c)
		defer cancelAfter()
		Eventually(after.Done()).Should(BeClosed())
		Expect(after.Err()).To(Equal(err))
		Expect(context.Cause(after)).To(Equal(cause))
	},
		Entry("cancelled", context.Canceled, context.Canceled),
		Entry("cancelled with a cause", context.Canceled, errEnough),
		Entry("too late", context.DeadlineExceeded, context.DeadlineExceeded),
		Entry("otherwise", errEnough, errEnough),
	)

})
