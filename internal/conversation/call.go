package conversation

import (
	"context"
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/pipe"
	"example.com/gons/reexec/internal/process"
)

// A Cancelled is the error of a call whose context has ended.
type Cancelled struct {
	Cause error
	Begun bool
}

func (e *Cancelled) Error() string { return e.Cause.Error() }
func (e *Cancelled) Unwrap() error { return e.Cause }

// An UnsentError is the error of open files that cannot be sent.
type UnsentError struct{ Err error }

func (e *UnsentError) Error() string { return e.Err.Error() }
func (e *UnsentError) Unwrap() error { return e.Err }

// ErrClosed is the error of calls after Close.
var ErrClosed error = closedError{}

// Made by package fmt it would cost each child 20 µs of its start.
type closedError struct{}

func (closedError) Error() string { return "worker is closed: " + os.ErrClosed.Error() }
func (closedError) Unwrap() error { return os.ErrClosed }

// Refuses returns why no call can begin any more, if so.
func (c *Conversation) Refuses(ctx context.Context) error {
	switch {
	case c.IsClosed():
		return ErrClosed
	case ctx.Err() != nil:
		return &Cancelled{Cause: context.Cause(ctx)}
	}
	return nil
}

// Call has the child serve a call, and blocks until it has answered; then what it has written to
// stderr before has been passed on, unless nobody waits for the child any more. The error is *Cancelled, ErrClosed,
// *End, or *UnsentError.
func (c *Conversation) Call(ctx context.Context, param Param) (frame.Frame, error) {
	select {
	case c.writing <- struct{}{}:
	case <-ctx.Done():
		return frame.Frame{}, &Cancelled{Cause: context.Cause(ctx)}
	case <-c.closing:
		return frame.Frame{}, ErrClosed
	}
	if err := c.Refuses(ctx); err != nil { // by now
		<-c.writing
		return frame.Frame{}, err
	}
	call := newCall()
	call.size = param.encoded.Len()
	stop := process.OnDone(ctx, func() { c.cancel(ctx, call) })
	defer stop()
	answer, err := frame.Frame{}, c.send(ctx, call, param)
	if err == nil {
		answer, err = c.Next(call)
	}
	switch {
	case err == nil:
		c.p.CatchUp(ctx.Done())
	case err == errSilent && call.number != 0:
		err = c.end().of(ctx)
	case err == errSilent: // there is nothing to end with the context but the wait
		ended := make(chan *End, 1)
		go func() { ended <- c.end() }()
		select {
		case err = <-ended:
		case <-ctx.Done():
			err = &Cancelled{Cause: context.Cause(ctx)}
		}
	}
	if call.written != nil {
		<-call.written // or the caller might change what is being written
	}
	return answer, err
}

// send sends the parameter of a call as soon as the child has room for it. Whoever calls it holds the
// right to write.
func (c *Conversation) send(ctx context.Context, call *Call, param Param) error {
	descriptors, large, err := c.number(call, param)
	if err != nil {
		<-c.writing
		return err
	}
	write := func() {
		defer func() { <-c.writing }()
		if err := c.write(call, descriptors, param.encoded); err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			if call.err == nil {
				c.abandon(call, &UnsentError{err})
			}
			c.finish(call)
		}
	}
	switch {
	case !large && len(descriptors) == 0:
		write()
	case ctx.Done() != nil: // it may take long, and who cancels the call must not wait for it, and may change the parameter
		param.encoded.Detach()
		go write()
	default:
		call.written = make(chan struct{})
		go func() {
			defer close(call.written)
			write()
		}()
	}
	return nil
}

// number gives a call its number as soon as the child has room for it, and returns the descriptors of
// its files, and whether its parameter may not fit into the pipe.
func (c *Conversation) number(call *Call, param Param) (descriptors []int, large bool, err error) {
	c.mu.Lock()
	c.writer = call
	c.mu.Unlock()
	c.wait(call, func() bool { return c.IsClosed() || c.admits(call) })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writer = nil
	switch {
	case call.err != nil:
		return nil, false, call.err
	case c.IsClosed():
		return nil, false, ErrClosed
	case c.lost:
		return nil, false, errSilent
	}
	if descriptors, err = frame.Duplicate(param.encoded.Files); err != nil {
		return nil, false, &UnsentError{err}
	}
	c.last++
	call.number = c.last
	c.calls = append(c.calls, call)
	c.queued += call.size
	param.encoded.SetCall(call.number, !c.begins(call))
	return descriptors, c.queued > surelyFits, nil
}

// surelyFits is how many bytes of parameters fit into a pipe of the usual capacity. So whoever writes no more does
// not block, even if the child has read none of them.
const surelyFits = 32 << 10

// admits tells whether a parameter may be sent: if the child can begin with it at once, or if it
// does not block who writes it. It needs mu.
func (c *Conversation) admits(call *Call) bool {
	return len(c.calls) < c.spec.Concurrency || len(c.calls) < maxCalls && c.queued+call.size <= c.room
}

// maxCalls is how many calls may be unanswered when another one is sent before the child can begin with it. So the
// socket usually has room to withdraw them all, even if the child does not listen.
const maxCalls = 128

// begins tells whether the child has begun with a call that has been sent and has not been answered, or
// will at once: there are not enough others before it that keep it from that. It needs mu.
func (c *Conversation) begins(call *Call) bool {
	return slices.Index(c.calls, call) < c.spec.Concurrency
}

// write sends a parameter to the child, after its files.
func (c *Conversation) write(call *Call, descriptors []int, encoded *frame.Encoded) error {
	if len(descriptors) > 0 {
		err := frame.SendFiles(c.p.Control, call.number, descriptors, false)
		for _, gone := range []error{syscall.EPIPE, syscall.ECONNRESET, os.ErrDeadlineExceeded, os.ErrClosed} {
			if errors.Is(err, gone) {
				return nil // the child's end says more
			}
		}
		if err != nil {
			return err
		}
	}
	pipe.Grow(c.p.Stdin, encoded.Len())
	_, _ = encoded.WriteTo(c.p.Stdin) // a child that does not take it does not answer either
	encoded.Free()
	return nil
}

// cancel is what the end of its context does to a call. One that has not begun is withdrawn. The child has
// the grace period to answer one that has, if its function obeys its context; otherwise it
// is killed.
func (c *Conversation) cancel(ctx context.Context, call *Call) {
	never := &Cancelled{Cause: context.Cause(ctx)}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case call.over || call.err != nil:
	case call.number == 0:
		c.abandon(call, never)
	case c.begins(call):
		c.stop(ctx, call, 0)
	case c.withdraw(call, &doubt{never, func() { c.stop(ctx, call, moment) }}):
	case c.canCancel():
		c.stop(ctx, call, 0) // it will begin, in a context that has ended
	default:
		go c.withdrawLater(call)
	}
}

// moment is how long a child may take to tell that a call has not begun after all.
var moment = 50 * time.Millisecond

// stop ends a call that has begun. If its function obeys its context, it has the grace period instead, for
// which its caller does not wait. It needs mu.
func (c *Conversation) stop(ctx context.Context, call *Call, patience time.Duration) {
	if call.overseer != nil { // its doubt has been settled twice
		return
	}
	cause := context.Cause(ctx)
	if c.canCancel() {
		patience = c.spec.Grace
		c.abandon(call, &Cancelled{Cause: cause, Begun: true})
	}
	overseer, over := newCall(), false
	call.overseer = overseer
	go func() {
		timer := time.AfterFunc(patience, func() { c.p.Abort(cause) })
		defer timer.Stop()
		if c.canCancel() {
			_ = frame.Send(c.p.Control, frame.Cancellation(call.number, ctx), true) // a child that cannot be told has ended, or will be killed
		}
		c.wait(overseer, func() bool { over = call.over; return over })
		if !over { // the child says nothing more
			<-c.p.Exited()
			c.p.Abort(cause) // what it has left behind may still be waited for
		}
	}()
}

// abandon releases the caller of a call, whose answer will be dropped. It needs mu.
func (c *Conversation) abandon(call *Call, why error) {
	call.err = why
	call.poke()
	if c.reader == call {
		c.p.Answer.Interrupt()
	}
}
