package serve

import (
	"context"
	"sync"
	"time"
)

// A callContext is the context of a call. It has the deadline of the parent's, but only the
// parent ends it, and then Err and [context.Cause] are what they are there.
//
// Done is a channel of its own, and so package context takes callContexts for no contexts
// of its own: contexts that are derived from one ask for its Err, and for its cause.
type callContext struct {
	context.Context // holds the cause
	done            chan struct{}
	deadline        time.Time
	cancel          context.CancelCauseFunc

	mu  sync.Mutex
	err error
}

// newContext returns a context; with a deadline of 0 it has none.
func newContext(deadline int64) *callContext {
	c := &callContext{done: make(chan struct{})}
	c.Context, c.cancel = context.WithCancelCause(context.Background())
	if deadline != 0 {
		c.deadline = time.Unix(0, deadline)
	}
	return c
}

func (c *callContext) Deadline() (deadline time.Time, ok bool) {
	return c.deadline, !c.deadline.IsZero()
}

func (c *callContext) Done() <-chan struct{} { return c.done }

func (c *callContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc is what package context uses, instead of a goroutine, for contexts derived from this one.
func (c *callContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(c.Context, f)
}

// end ends the context; only the first time counts.
func (c *callContext) end(err, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		c.cancel(cause)
		close(c.done)
	}
}
