package conversation

import (
	"context"
	"slices"

	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/process"
)

// An End is what has become of a child that has ended, or that never was where it should be. It is
// also the error of calls that can have no other.
type End struct {
	process.Outcome
	Unborn    error       // why it was not where it should be
	Word      frame.Frame // its last word, if that says why it has ended; or else its kind is 0
	Fault     error       // why its words made no sense
	Cancelled error       // why its single call was cancelled
	Closed    bool        // it was Close that has ended it
	Idle      bool        // no call was being served then
}

func (e *End) Error() string { return "child has ended" }

// of is the end for a call in this context: it may be what has cut the wait for the end short.
func (e *End) of(ctx context.Context) *End {
	if ctx.Err() == nil || e.Killed != nil || e.Cut == nil || e.Cut == ErrClosed || e.Cut == process.ErrLingers {
		return e
	}
	cut := *e
	cut.Cancelled = context.Cause(ctx)
	return &cut
}

// IsClosed tells whether Close has been called.
func (c *Conversation) IsClosed() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// Close ends the child and blocks until it is reaped. Calls that have not begun return ErrClosed;
// those that have, and then the child, have the grace period to end by themselves.
func (c *Conversation) Close() *End {
	c.close()
	aborted := make(chan struct{})
	go func() {
		defer close(aborted)
		c.p.AbortAtEnd(ErrClosed) // a writer of stderr may block, and somebody else wait for it
	}()
	defer func() { <-aborted }()
	return c.end()
}

// Finish ends a child whose single call has been answered, or will never be.
func (c *Conversation) Finish() *End { return c.end() }

// Kill ends the child at once. If there is a call, nobody will take its answers any more.
func (c *Conversation) Kill(call *Call, why error) *End {
	if call != nil {
		c.mu.Lock()
		call.err = why
		for _, f := range call.answers {
			f.CloseFiles()
		}
		call.answers = nil
		c.mu.Unlock()
	}
	c.p.Abort(why)
	return c.end()
}

// hangUp lets the child end, but has it killed after the grace period. It is called once.
func (c *Conversation) hangUp() *End {
	e := &End{Closed: c.IsClosed()}
	c.mu.Lock()
	e.Idle = !slices.ContainsFunc(c.calls, func(call *Call) bool { return call.err == nil })
	if e.Closed {
		c.withdrawAll()
	}
	if !c.spec.Ready { // who waited for answers is here
		for _, call := range c.calls {
			call.err = ErrClosed
		}
	}
	c.mu.Unlock()

	switch {
	case e.Closed:
		c.p.AbortAfterGrace(ErrClosed)
	case c.spec.Ready:
		c.p.AbortAfterGrace(process.ErrLingers)
	default:
		c.p.Linger()
	}
	if c.spec.Ready {
		c.writing <- struct{}{} // a parameter that is being written is written to its end
		_ = c.p.Stdin.Close()
		<-c.writing
	}
	c.wait(newCall(), func() bool { return false }) // until all has been read
	e.Outcome = c.p.Wait()
	c.ending.Wait()
	c.p.Close()

	c.mu.Lock()
	defer c.mu.Unlock()
	e.Word, e.Fault, e.Cancelled = c.word, c.fault, c.ended
	return e
}
