package call

import (
	"context"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// A once is a conversation about a single call, with a child of its own. It is for one goroutine.
type once struct {
	*Conversation
	ctx       context.Context
	call      *Call
	answered  bool  // the last answer has come
	cancelled error // why the call was cancelled
}

// Run starts a child for a single call, with the parameter that pointer points to, and blocks until the child has ended: it tells how.
// An error says why there was no child, or is an *UnsentError.
//
// hear gets each answer. Where it returns false after an event, no more are wanted, and the child has the grace period to end. If hear
// panics, the child is killed.
//
// The end of the context kills the child. A function that obeys its context has the grace period to give its last answer;
// its events are dropped.
func Run(ctx context.Context, spec Spec, pointer any, hear func(*Frame) (more bool)) (*End, error) {
	o, err := begin(ctx, spec, pointer)
	if err != nil {
		return nil, err
	}
	heard := false
	defer func() {
		if !heard {
			o.p.Leave(errDecoder)
			o.close()
		}
	}()
	for !o.answered {
		f, err := o.next()
		if err != nil {
			break
		}
		if more := hear(&f); !more && !o.answered {
			o.breakOff()
			break
		}
	}
	heard = true
	return o.close(), nil
}

// begin starts a child and sends it its call.
func begin(ctx context.Context, spec Spec, pointer any) (*once, error) {
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
	o := &once{Conversation: c, ctx: ctx, call: c.register()}
	c.sending <- struct{}{}
	c.send(o.call, param, open)
	open = nil
	return o, nil
}

// next blocks until the next answer has arrived. An error says that none will come.
func (o *once) next() (f Frame, err error) {
	if o.spec.Stream && o.ctx.Err() == nil { // most events have been read already
		o.mu.Lock()
		f, ok := o.atHand(o.call)
		o.mu.Unlock()
		if ok {
			return f, nil
		}
	}
	if f, err = o.await(o.ctx, o.call, o.over); err == errDone {
		f, err = o.leave(o.ctx)
	}
	if f.Kind == Failed && o.ctx.Err() != nil {
		o.cancelled = context.Cause(o.ctx) // which the error is likely to be about
	}
	o.answered = err == nil && f.Kind != Event
	return f, err
}

// leave tells the child that a context has ended, or kills it, and returns the last answer.
func (o *once) leave(ended context.Context) (Frame, error) {
	if o.Conversation.leave(ended, o.call, !o.spec.Context) && o.spec.Context {
		o.cancelled = context.Cause(o.ctx)
		o.p.LetGo(context.Cause(ended))
	}
	return o.outlast(ended, o.call)
}

// breakOff tells the child that no more events are wanted, and gives it the grace period to end.
func (o *once) breakOff() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	f, err := o.leave(ended)
	o.answered = err == nil
	f.Close()
}

// close blocks until the child has ended, and tells how.
func (o *once) close() *End {
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
