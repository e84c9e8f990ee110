package call

import (
	"os"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

var _ = Describe("a signal for a whole process group", func() {
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
			"to close":  func() { tell(c.socket, header{Kind: closing}, nil) },
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
