package call

import (
	"context"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// A Once is a conversation about a single call, with a child of its own. It is for one goroutine.
type Once struct {
	*Conversation
	ctx       context.Context
	call      *Call
	answered  bool  // the last answer has come
	cancelled error // why the call was cancelled
}

// Begin starts a child and sends it its call, with the parameter that pointer points to. In the end Finish or Kill must be called.
func Begin(ctx context.Context, spec Spec, pointer any) (*Once, error) {
	param, err := encodeParam(ctx, pointer)
	if err != nil {
		return nil, err
	}
	open, err := duplicates(param.files)
	if err != nil {
		return nil, err
	}
	defer func() { sys.CloseDescriptors(open) }() // unless they are to be sent: there may be an error, or a panic of an option
	spec.Concurrency = 0
	c, err := start(ctx, spec)
	if err != nil {
		return nil, err
	}
	o := &Once{Conversation: c, ctx: ctx, call: c.register()}
	c.sending <- struct{}{}
	c.send(o.call, param, open)
	open = nil
	return o, nil
}

// Next blocks until the next answer has arrived. Its error is an *UnsentError, or says that no answer will come: Finish
// tells why.
//
// The end of the context kills the child. A function that obeys its context has the grace period to give its last answer;
// its events are dropped.
func (o *Once) Next() (Frame, error) {
	f, err := o.next()
	if err == errDone {
		f, err = o.leave(o.ctx)
	}
	switch {
	case err != nil:
		return f, err
	case f.Kind == 0: // it was not sent
		o.p.Leave(f.lost)
		return f, f.lost
	}
	if f.Kind == Failed && o.ctx.Err() != nil {
		o.cancelled = context.Cause(o.ctx) // which the error is likely to be about
	}
	o.answered = f.Kind != Event
	return f, nil
}

// next blocks until the next answer has arrived, or the context has ended. It looks first for events that have been read
// already, as most have.
func (o *Once) next() (Frame, error) {
	if o.spec.Stream {
		if o.ctx.Err() != nil {
			return Frame{}, errDone
		}
		o.mu.Lock()
		f, ok := o.atHand(o.call)
		o.mu.Unlock()
		if ok {
			return f, nil
		}
	}
	return o.await(o.ctx, o.call, o.over)
}

// leave tells the child that a context has ended, or kills it, and returns the last answer.
func (o *Once) leave(ended context.Context) (Frame, error) {
	if o.Conversation.leave(ended, o.call, !o.spec.Context) && o.spec.Context {
		o.cancelled = context.Cause(o.ctx)
		o.p.LetGo(context.Cause(ended))
		return o.outlast(ended, o.call)
	}
	return o.await(context.Background(), o.call, o.over) // an answer has arrived, or over is closed
}

// Break tells the child that no more events are wanted, and gives it the grace period to end.
func (o *Once) Break() {
	o.cancelled = context.Cause(o.ctx) // nil, if that has not ended
	o.p.LetGo(context.Canceled)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	f, err := o.leave(ended)
	o.answered = err == nil
	f.Close()
}

// Finish blocks until the child has ended, and tells how. Next has returned the last answer, or an error.
func (o *Once) Finish() *End {
	switch {
	case !o.answered:
		o.p.OnEnd(o.ctx, func() { o.p.Leave(context.Cause(o.ctx)) })
	case o.cancelled == nil:
		o.p.OnEnd(o.ctx, func() { o.p.Leave(child.ErrLingers) }) // the answer counts
	}
	o.mu.Lock()
	if !o.answered && o.soFar.Killed == nil { // the child has ended
		o.soFar.Unread = o.hasNotBegun(o.call)
	}
	o.finish()
	o.mu.Unlock()
	end := o.hangUp()
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
