package call

import (
	"context"
	"slices"
	"sync"
	"time"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// A Worker is a conversation about many calls. It is safe for concurrent use.
//
// A worker has as many turns as its child serves calls at a time. A call waits for a turn in the parent, first come,
// first served; one that has a turn is sent, and has begun.
type Worker struct {
	*Conversation
	turns   chan struct{} // each element is a turn that is taken
	closing chan struct{} // closed by Close
	hungUp  func() *End
}

// Start starts a child that serves many calls, and waits until it is ready. The end of ctx kills it at any time.
func Start(ctx context.Context, spec Spec) (*Worker, error) {
	c, err := start(ctx, spec)
	if err != nil {
		return nil, err
	}
	w := &Worker{
		Conversation: c,
		turns:        make(chan struct{}, spec.Concurrency),
		closing:      make(chan struct{}),
	}
	w.hungUp = sync.OnceValue(w.hangUp)
	readiness := newCall()
	c.calls = append(c.calls, readiness)
	c.p.OnEnd(ctx, func() { c.p.Leave(context.Cause(ctx)) })
	if _, err := c.await(context.Background(), readiness, c.over); err != nil {
		end := w.hungUp()
		end.NotBegun = true
		end.await(ctx)
		return nil, end
	}
	return w, nil
}

// Exited is closed once the child is reaped.
func (w *Worker) Exited() <-chan struct{} { return w.p.Exited() }

// PID is that of the child.
func (w *Worker) PID() int { return w.p.PID() }

// begin waits for a turn, and sends a call. Its error says why the call cannot begin.
func (w *Worker) begin(ctx context.Context, param *outgoing) (call *Call, err error) {
	if w.take(ctx, w.turns) {
		if call, err = w.sendNext(ctx, param); call != nil {
			return call, nil
		}
		<-w.turns
	}
	if err == nil {
		err = w.refuses(ctx)
	}
	return nil, err
}

// sendNext sends a call that has a turn. It returns neither call nor error if no call can begin any more.
func (w *Worker) sendNext(ctx context.Context, param *outgoing) (call *Call, err error) {
	if !w.take(ctx, w.sending) {
		return nil, nil
	}
	open, err := duplicates(param.files)
	if err == nil {
		call = w.number(ctx)
	}
	if call == nil {
		<-w.sending
		sys.CloseDescriptors(open)
		return nil, err
	}
	w.send(call, param, open)
	return call, nil
}

// take takes a turn, or the lock sending, and returns true, unless no call can begin.
func (w *Worker) take(ctx context.Context, turn chan struct{}) bool {
	select {
	case turn <- struct{}{}:
		return true
	case <-ctx.Done():
	case <-w.closing:
	case <-w.over:
	case <-w.p.Exited():
	}
	return false
}

// number registers a call that is about to be sent, unless it cannot begin by now.
func (w *Worker) number(ctx context.Context) *Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil || child.IsClosed(w.closing) || child.IsClosed(w.over) || child.IsClosed(w.p.Exited()) {
		return nil
	}
	return w.register()
}

// refuses returns why no call can begin.
func (w *Worker) refuses(ctx context.Context) error {
	switch {
	case child.IsClosed(w.closing):
		return ErrClosed
	case ctx.Err() != nil:
		return &Cancelled{Cause: context.Cause(ctx)}
	}
	return w.DiedIn(ctx, nil)
}

// Call makes the child serve a call with the parameter that pointer points to, and blocks until it has answered; then what it
// has printed before has been passed on, unless ctx ends sooner. The error is *Cancelled, ErrClosed, *End, or *UnsentError.
func (w *Worker) Call(ctx context.Context, pointer any) (Frame, error) {
	if child.IsClosed(w.closing) {
		return Frame{}, ErrClosed
	}
	param, err := encodeParam(ctx, pointer)
	if err != nil {
		return Frame{}, err
	}
	if w.spec.Concurrency > 1 && sys.IsLocked() {
		return w.callUnlocked(ctx, param)
	}
	return w.call(ctx, param)
}

// callUnlocked is call for a goroutine that is locked to its thread: that may have a low priority (nice(2)), and must not read for
// others.
func (w *Worker) callUnlocked(ctx context.Context, param *outgoing) (answer Frame, err error) {
	var unlocked sync.WaitGroup
	unlocked.Go(func() { answer, err = w.call(ctx, param) })
	unlocked.Wait()
	return answer, err
}

func (w *Worker) call(ctx context.Context, param *outgoing) (Frame, error) {
	call, err := w.begin(ctx, param)
	if err != nil {
		return Frame{}, err
	}
	f, err := w.await(ctx, call, w.over)
	call.param.Detach() // it may have been answered before it was read to its end
	if err == errDone {
		if w.leave(ctx, call, !w.spec.Context) {
			if w.spec.Context {
				go w.outlastTurn(ctx, call)
				return Frame{}, &Cancelled{Cause: context.Cause(ctx), Begun: true}
			}
			<-w.turns
			return Frame{}, w.Died()
		}
		f, err = w.await(context.Background(), call, w.over) // an answer has arrived, or over is closed
	}
	<-w.turns
	if err != nil {
		return Frame{}, w.DiedIn(ctx, call)
	}
	if call.param.Done() {
		call.reuse()
	}
	f.Relay = w.p.CatchUp(ctx.Done())
	return f, nil
}

// outlastTurn is outlast for a call that keeps its turn until then.
func (w *Worker) outlastTurn(ended context.Context, call *Call) {
	f, _ := w.outlast(ended, call)
	f.Close()
	<-w.turns
}

// Close ends the child and blocks until it is reaped. Calls that have no turn return ErrClosed;
// those that have, and then the child, have the grace period to end by themselves.
func (w *Worker) Close() *End {
	w.mu.Lock()
	if !child.IsClosed(w.closing) {
		w.soFar.Closed = !child.IsClosed(w.p.Exited()) // the end of a child that was gone before is not Close's doing
		w.soFar.Idle = !slices.ContainsFunc(w.calls, func(call *Call) bool { return !call.left })
		close(w.closing)
	}
	w.mu.Unlock()
	tell(w.p.Control, header{Kind: closing}, nil)
	w.p.LeaveAfterGrace(ErrClosed)
	return w.hungUp()
}

// Kill ends the child at once, since the answer to a call has made the caller's decoder panic.
func (w *Worker) Kill() {
	w.p.Leave(errDecoder)
	w.hungUp()
}

// Died blocks until the child has ended, and tells how. It does not wait for what holds its output.
func (w *Worker) Died() *End {
	go w.hungUp()
	outcome := w.p.Died()
	w.readAll()
	return w.end(outcome)
}

// DiedIn is Died on behalf of a call; nil stands for one that was never sent. It waits no longer than until a moment after the
// end of ctx.
func (w *Worker) DiedIn(ctx context.Context, call *Call) error {
	unread := call != nil && w.hasNotBegun(call)
	died := make(chan *End, 1)
	go func() {
		end := w.Died()
		end.await(ctx)
		end.NotBegun, end.Unread = call == nil || unread, unread
		died <- end
	}()
	select {
	case end := <-died:
		return end
	case <-ctx.Done():
	}
	select {
	case end := <-died: // it says more
		return end
	case <-time.After(ctxMoment):
		return &Cancelled{Cause: context.Cause(ctx), Begun: call != nil && !unread}
	}
}

// ctxMoment is how long a call whose context has ended waits for the end of a child that is about to end.
const ctxMoment = 100 * time.Millisecond
