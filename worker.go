package reexec

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"example.com/gons/reexec/internal/conversation"
	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/process"
)

// A Worker is a child that serves many calls of a function, in the same namespaces, and
// so spares each of them the start of a process. [Func.Start] makes one. A Worker is safe
// for concurrent use; it serves one call at a time or, with [Concurrency], several.
//
// A worker is gone after a panic of its function, after the end of its child, and after a
// call that was cancelled while it was being served, unless its function obeys its
// context; see [RegisterFuncContext]. Every later call returns why, and another Start makes
// a new one.
//
// A worker ends by itself when its parent ends. Calls that are being served then have the
// grace period.
type Worker[P, R any] struct {
	shape shape
	spec  conversation.Spec
	talk  *conversation.Conversation
	told  atomic.Bool // a call has returned why the worker is gone
	close func() error
}

// Start starts a child that serves any number of calls until ctx is done: ctx bounds the
// life of the worker, not just its start. Start returns once the child is in its
// namespaces and ready. The worker must be closed.
//
//	w, err := hostname.Start(ctx, reexec.Target(pid, "user", "uts"))
//	if err != nil {
//		return err
//	}
//	defer w.Close()
//	name, err := w.Call(ctx, struct{}{})
//
// So a ctx with a timeout for the start alone is a mistake: when it ends, the child is
// killed. Time limits belong to the contexts of the calls.
//
// Errors and panics are those of [Func.Call], except that [Concurrency] is allowed.
func (f Func[P, R]) Start(ctx context.Context, options ...ReexecActionOption) (*Worker[P, R], error) {
	a := f.action(ctx, options)
	concurrency := max(a.concurrency, 1)
	run := f.facts()
	if ctx.Err() != nil {
		return nil, run.notStarted(context.Cause(ctx))
	}
	w := &Worker[P, R]{shape: f.shape}
	w.spec = conversation.Spec{Spec: a.spec(), Context: f.context, Files: f.files, Types: f.types}
	w.spec.Open, w.spec.Ready, w.spec.Roams, w.spec.Concurrency = true, true, true, concurrency
	talk, err := conversation.Start(ctx, w.spec)
	if err != nil {
		return nil, run.unanswered(err)
	}
	w.talk = talk
	w.close = sync.OnceValue(w.end)
	return w, nil
}

func (w *Worker[P, R]) mustBeStarted() {
	if w == nil || w.talk == nil {
		panic("gons/reexec: Worker: zero Worker, use Func.Start")
	}
}

// Call calls the function in the child, and returns its result. Calls begin in the order
// in which they come, each as soon as the child is free. The time that they wait counts for ctx.
//
// When ctx is done, Call returns an error that wraps [context.Cause](ctx). A call that had
// not begun then never runs, and the worker is left alone. If it had begun, the child is
// killed, and the worker gone. Only a function of [RegisterFuncContext] has the grace period
// to return, for which Call does not wait; if it returns in time, the worker lives on. Where it is
// gone, the errors of all other calls wrap that cause, too: whether it is one's own, ctx.Err tells.
//
// Other errors are those of [Func.Call], and [os.ErrClosed] after Close. Call panics if ctx
// is nil or w is the zero Worker.
func (w *Worker[P, R]) Call(ctx context.Context, param P) (result R, err error) {
	w.mustBeStarted()
	if ctx == nil {
		panic("nil Context")
	}
	run := w.shape.facts()
	if err := w.talk.Refuses(ctx); err != nil {
		return result, w.explain(err)
	}
	encoded, err := w.spec.NewParam(ctx, &param)
	if err != nil {
		return result, run.unsent(err)
	}
	answer, err := w.talk.Call(ctx, encoded)
	if err != nil {
		return result, w.explain(err)
	}
	heard := false
	defer func() {
		if !heard { // decoding has panicked
			w.talk.Kill(nil, errDecoder)
		}
	}()
	run.hear(answer, &result)
	heard = true
	if answer.Kind == frame.Panicked {
		w.told.Store(true)
		stop := process.OnDone(ctx, func() { w.talk.Kill(nil, context.Cause(ctx)) })
		_ = w.talk.Finish() // so that nothing is left when Call returns
		stop()
	}
	if err := run.explain(); err != nil {
		w.shape.discard(&result)
		return *new(R), err
	}
	return result, nil
}

// explain returns the error of a call that was not answered.
func (w *Worker[P, R]) explain(err error) error {
	var end *conversation.End
	if errors.As(err, &end) {
		w.told.Store(true)
		return w.gone(end)
	}
	return w.shape.facts().unanswered(err)
}

// gone is why there is no child any more.
func (w *Worker[P, R]) gone(end *conversation.End) error {
	run := w.shape.facts()
	if end.Word.Kind == frame.Panicked {
		panicked := newPanicError(run.name, end.Word)
		return run.failure("worker is gone, reason: "+panicked.Error(), panicked)
	}
	if end.Closed && end.Idle && w.badEnd(end) == nil {
		return w.explain(conversation.ErrClosed)
	}
	return run.ended(end)
}

// Close ends the worker and blocks until its child is reaped. Calls that are being served,
// and then the child, have the grace period (see [GracePeriod]) to end by themselves. Calls
// that have not begun return [os.ErrClosed].
//
// The error tells that the child has ended badly by itself, or that the context of
// Start has ended, unless a call has told so already. Closing again returns the same.
func (w *Worker[P, R]) Close() error {
	w.mustBeStarted()
	return w.close()
}

// end is what Close does the first time.
func (w *Worker[P, R]) end() error {
	end := w.talk.Close()
	if w.told.Load() || !end.Idle {
		return nil // a call has told, or is about to
	}
	return w.badEnd(end)
}

// badEnd returns why the end of a worker was none that Close has asked for.
func (w *Worker[P, R]) badEnd(end *conversation.End) error {
	run := w.shape.facts()
	run.answered = true // nothing was asked
	if end.Killed == conversation.ErrClosed || end.Killed == process.ErrLingers {
		return nil
	}
	return run.ended(end)
}

// Done returns a channel that is closed when the child has ended, for whatever reason;
// [Worker.Err] then tells that.
func (w *Worker[P, R]) Done() <-chan struct{} {
	w.mustBeStarted()
	return w.talk.Exited()
}

// Err returns why the worker is gone, as calls would say. It returns nil as long as the
// child lives, and after a Close that went well.
func (w *Worker[P, R]) Err() error {
	w.mustBeStarted()
	select {
	case <-w.talk.Exited():
	default:
		return nil
	}
	end := w.talk.Finish()
	if end.Closed && w.badEnd(end) == nil {
		return nil
	}
	return w.gone(end)
}

// PID returns the process ID of the child, as the parent sees it. After the child's end
// another process may have it.
func (w *Worker[P, R]) PID() int {
	w.mustBeStarted()
	return w.talk.PID()
}
