package call

import (
	"context"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// An Once is a conversation about a single call, with a child of its own. It is for one goroutine.
type Once struct {
	*Conversation
	ctx       context.Context
	call      *Call
	answered  bool  // the last answer has come
	cancelled error // why the call was cancelled
}

// Begin starts a child and sends it its call. In the end Finish or Kill must be called.
func Begin(ctx context.Context, spec Spec, param Param) (*Once, error) {
	open, err := duplicates(param.files)
	if err != nil {
		return nil, &UnsentError{err}
	}
	defer func() { sys.CloseDescriptors(open) }() // unless they are to be sent: there may be an error, or a panic of an option
	spec.Concurrency = 0
	c, err := start(ctx, spec)
	if err != nil {
		return nil, err
	}
	o := &Once{Conversation: c, ctx: ctx, call: c.register()}
	o.call.events = spec.Stream
	if !c.write(o.call, param, len(open) > 0) {
		go c.writeLater(o.call, open)
	}
	open = nil
	return o, nil
}

// Next blocks until the next answer has arrived. Its error is that there is none, as Finish tells, or an *UnsentError.
//
// The end of the context kills the child. A function that obeys its context has the grace period to give its last answer;
// events are dropped from then on.
func (o *Once) Next() (*Answer, error) {
	f, err := frame{}, errDone
	if !o.call.events || o.ctx.Err() == nil {
		if f, err = o.atHand(); err != nil {
			f, err = o.await(o.ctx, o.call, o.over)
		}
	}
	if err == errDone {
		f, err = o.leave()
	}
	switch {
	case err != nil:
		return nil, err
	case f.kind == 0: // it was not sent
		o.p.Leave(f.lost)
		return nil, f.lost
	}
	if f.kind == Failed && o.ctx.Err() != nil {
		o.cancelled = context.Cause(o.ctx) // which the error is likely to be about
	}
	o.answered = f.kind != Event
	return &Answer{frame: f}, nil
}

// atHand returns the next answer if it has been read already, as most events have. It only serves speed.
func (o *Once) atHand() (frame, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.call.answers) == 0 {
		f, ok := o.in.frame()
		if !ok || o.isLost() {
			return frame{}, errOver
		}
		o.deliver(&f)
	}
	return <-o.call.answers, nil
}

// leave is what the end of the context does.
func (o *Once) leave() (frame, error) {
	cause := context.Cause(o.ctx)
	if o.spec.Context {
		if o.isOpen(o.call, nil) {
			o.cancelled = cause
			o.cancel(o.ctx, o.call)
			o.p.LetGo(cause)
			return o.outlast(o.call, cause)
		}
	} else if o.isOpen(o.call, cause) {
		o.kill(o.call, cause)
	}
	return o.await(context.Background(), o.call, o.over) // it is there, or there will be none
}

// Break tells the child that no more events are wanted, and gives it the grace period to end.
func (o *Once) Break() {
	if o.ctx.Err() != nil {
		o.cancelled = context.Cause(o.ctx)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	o.cancel(ctx, o.call)
	o.p.LetGo(context.Canceled)
	f, err := o.outlast(o.call, context.Canceled)
	o.answered = err == nil
	f.close()
}

// Finish blocks until the child has ended, and tells how. The last answer has been taken, or there is none.
func (o *Once) Finish() *End {
	if o.answered && o.cancelled == nil {
		o.p.OnEnd(o.ctx, func() { o.p.Leave(child.ErrLingers) }) // the answer counts
	} else if !o.answered {
		o.p.OnEnd(o.ctx, func() { o.p.Leave(context.Cause(o.ctx)) })
	}
	o.mu.Lock()
	o.unread = o.unread || !o.answered && o.hasNotBegun(o.call)
	o.deaf = true
	o.mu.Unlock()
	o.p.Linger()
	_ = o.p.Stdin.Close()
	o.readAll()
	outcome := o.p.Wait()
	o.call.param.Detach() // what has not been written by now, never will be
	o.p.Close()
	end := o.end(outcome)
	end.Cancelled = o.cancelled
	if !o.answered {
		end.await(o.ctx)
	}
	return end
}

// Kill ends the child at once.
func (o *Once) Kill(why error) {
	o.p.Leave(why)
	o.Finish()
}
