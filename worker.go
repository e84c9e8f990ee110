package reexec

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"

	"example.com/gons/reexec/internal/conversation"
	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/process"
)

// A Worker is a child that serves calls of a function, one at a time or, with [Concurrency],
// several, and so spares each of them the start of a process. [Func.Start] makes
// one.
//
// After a panic of the function, or the end of the child, the worker is gone, and every later call
// returns that error. So it is after a call that was cancelled while it was being served, unless its
// function obeys to its context; see [RegisterFuncContext].
//
// A Worker is safe for concurrent use. It ends by itself when its parent ends; calls that are being served
// then have the grace period.
type Worker[P, R any] struct {
	shape shape
	spec  conversation.Spec
	talk  *conversation.Conversation
	told  atomic.Bool // a call has returned why the worker is gone
	close func() error
}

// Start starts a child that serves any number of calls, and returns once it is in its namespaces and
// ready. When ctx is done, the child is killed: ctx bounds the worker's life, not just its
// start. The worker must be closed.
//
// Errors and panics are those of [Func.Call], but that the option [Concurrency] is allowed.
func (f Func[P, R]) Start(ctx context.Context, options ...ReexecActionOption) (*Worker[P, R], error) {
	a := f.action(ctx, options)
	concurrency := max(a.concurrency, 1)
	run := facts{name: f.name, function: true}
	if ctx.Err() != nil {
		return nil, run.notStarted(context.Cause(ctx))
	}
	w := &Worker[P, R]{shape: f.shape}
	w.spec = conversation.Spec{Spec: a.spec(), Context: f.context, Files: f.files, Opens: f.opens}
	w.spec.Open, w.spec.Ready, w.spec.Concurrency = true, true, concurrency
	talk, err := conversation.Start(ctx, w.spec)
	if err != nil {
		return nil, run.unstarted(err)
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

// facts returns what is known of each run.
func (w *Worker[P, R]) facts() facts { return facts{name: w.shape.name, function: true} }

// Call calls the function in the child, and blocks until it has answered. Calls begin in the
// order in which they come, each as soon as the child is free.
//
// When ctx is done before the call has begun, the call never runs, and the worker is left alone. When
// it is done later, a function of [RegisterFuncContext] has the grace period to return, for which
// Call does not wait; if the function does not, and for other functions at once, the child is killed. In each
// case the error wraps [context.Cause](ctx).
//
// Other errors are those of [Func.Call], and
// [os.ErrClosed] after Close. Call panics if ctx is nil or w is the zero Worker.
func (w *Worker[P, R]) Call(ctx context.Context, param P) (result R, err error) {
	w.mustBeStarted()
	if ctx == nil {
		panic("nil Context")
	}
	run := w.facts()
	if err := w.refuses(ctx); err != nil {
		return result, err
	}
	encoded, err := w.spec.NewParam(ctx, param)
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
		_ = w.talk.Finish() // so that nothing is left when Call returns
	}
	if err := run.explain(); err != nil {
		w.shape.discard(result)
		return *new(R), err
	}
	return result, nil
}

// refuses returns why no call can begin any more.
func (w *Worker[P, R]) refuses(ctx context.Context) error {
	switch {
	case w.talk.IsClosed():
		return w.explain(conversation.ErrClosed)
	case ctx.Err() != nil:
		return w.explain(&conversation.Cancelled{Cause: context.Cause(ctx)})
	}
	return nil
}

// explain returns the error of a call that was not answered.
func (w *Worker[P, R]) explain(err error) error {
	run := w.facts()
	var cancelled *conversation.Cancelled
	var end *conversation.End
	var unsent *conversation.UnsentError
	switch {
	case err == conversation.ErrClosed:
		return run.failure(err.Error(), err)
	case errors.As(err, &cancelled) && cancelled.Begun:
		return run.failure("call was cancelled, reason: "+cancelled.Cause.Error(), cancelled.Cause)
	case errors.As(err, &cancelled):
		return run.failure("call was not started, reason: "+cancelled.Cause.Error(), cancelled.Cause)
	case errors.As(err, &unsent):
		return run.unsent(unsent.Err)
	case errors.As(err, &end):
		w.told.Store(true)
		return w.gone(end)
	}
	return run.unsent(err)
}

// gone is why there is no child any more.
func (w *Worker[P, R]) gone(end *conversation.End) error {
	run := w.facts()
	if end.Word != nil && end.Word.Kind == frame.Panicked {
		panicked := newPanicError(run.name, *end.Word)
		return run.failure("worker is gone, reason: "+panicked.Error(), panicked)
	}
	if end.Closed && end.Idle && w.badEnd(end) == nil {
		return w.explain(conversation.ErrClosed)
	}
	return run.ended(end)
}

// Close ends the worker and blocks until its child is reaped. Calls that are being
// served, and then the child, have the grace period (see [GracePeriod]) to end by themselves. Calls
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
	run := w.facts()
	run.answered = true // nothing was asked
	switch {
	case end.Killed == conversation.ErrClosed, end.Killed == process.ErrLingers:
		return nil
	case end.Idle && process.EndedBy(end.Status, syscall.SIGINT):
		return nil // Ctrl-C at the terminal is for parent and child; this one had nothing to do
	}
	return run.ended(end)
}

// Done returns a channel that is closed when the child has ended.
func (w *Worker[P, R]) Done() <-chan struct{} {
	w.mustBeStarted()
	return w.talk.Exited()
}

// Err returns nil as long as the child lives, and after a Close that went well; later why the worker is
// gone, as calls would say.
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

// PID returns the process ID of the child, as the parent sees it. After the child's end another process
// may have it.
func (w *Worker[P, R]) PID() int {
	w.mustBeStarted()
	return w.talk.PID()
}
