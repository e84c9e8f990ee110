package reexec

import (
	"context"
	"sync/atomic"

	"example.com/gons/reexec/internal/call"
	"example.com/gons/reexec/internal/child"
)

// A Worker is a child that serves many calls of a function, in the same namespaces, and so spares
// each of them the start of a process. [Func.Start] makes one. A Worker is safe for concurrent use.
// It serves one call at a time or, with [Concurrency], several. Each call runs in a goroutine of
// its own, so a thread that it locks and changes ends with it ([runtime.LockOSThread]).
//
// A worker is gone after a panic of its function, after the end of its child, and after a call that
// was cancelled while it was being served, unless its function obeys its context; see
// [RegisterFuncContext]. Every later call returns the reason, in an error that matches
// [ErrNotStarted]; after a panic that begins with "worker is gone, reason: ". Another Start makes a
// new worker.
//
// A worker outlasts SIGINT, SIGTERM and SIGHUP, as of a terminal or a service manager, while it
// serves no call. It ends by itself when its parent ends; calls that are being served then have the
// grace period.
//
// With package testing/synctest use a worker only in the bubble in which it was started, and one
// that was started outside in none: else Go ends the program with a fatal error about a channel.
type Worker[P, R any] struct {
	shape  shape
	worker *call.Worker
	told   atomic.Bool // a call has returned why the worker is gone, so Close need not
}

// Start starts a child that serves any number of calls until ctx is done: ctx bounds the life of
// the worker, not just its start. Start returns once the child is in its namespaces and ready. The
// worker must be closed.
//
//	w, err := hostname.Start(context.Background(), reexec.Target(pid, "user", "uts"))
//	if err != nil {
//		return err
//	}
//	defer w.Close()
//	name, err := w.Call(ctx, struct{}{})
//
// When ctx ends, the child is killed at once, even if its function obeys a context. So do not limit
// the start by a ctx with a timeout: time limits belong to the contexts of the calls. A timer that
// calls the ctx's cancel function, and is stopped once Start has returned, limits the start alone. A program
// that is to clean up at Ctrl-C gives the context of [os/signal.NotifyContext] to the calls, and
// one that outlasts it to Start; then Close waits for the clean-up.
//
// Errors and panics are those of [Func.Call], except that [Concurrency] is allowed.
func (f Func[P, R]) Start(ctx context.Context, options ...ReexecActionOption) (*Worker[P, R], error) {
	spec := f.spec(f.action(ctx, options))
	run := f.facts()
	if ctx.Err() != nil {
		return nil, run.notBegun(notStarted, context.Cause(ctx))
	}
	spec.Concurrency = max(spec.Concurrency, 1)
	worker, err := call.Start(ctx, spec)
	if err != nil {
		return nil, run.unanswered(err)
	}
	return &Worker[P, R]{shape: f.shape, worker: worker}, nil
}

func (w *Worker[P, R]) mustBeStarted() {
	if w == nil || w.worker == nil {
		panic("gons/reexec: Worker: zero Worker, use Func.Start")
	}
}

// Call calls the function in the child, and returns its result. Calls begin in the order in which
// they come, each as soon as the child is free. The time that they wait counts for ctx.
//
// When ctx is done, Call returns an error that wraps [context.Cause](ctx), unless the answer has
// arrived by then. What becomes of the worker depends on the call:
//
//   - A call that had not begun never runs, which [ErrNotStarted] tells, and the worker lives on.
//   - If it had begun, the child is killed, and the worker is gone.
//   - A function of [RegisterFuncContext] has the grace period to return, for which Call does not
//     wait. If it returns in time, the worker lives on. If not, the child is killed, and
//     [Worker.Err] tells where it hung, once [Worker.Done] is closed.
//
// If a cancelled call killed the worker, all other calls fail with the same cause. Check ctx.Err to
// see whether it was yours.
//
// Other errors are those of [Func.Call], and [os.ErrClosed] after Close. Call panics if ctx is nil
// or w is the zero Worker.
func (w *Worker[P, R]) Call(ctx context.Context, param P) (result R, err error) {
	w.mustBeStarted()
	if ctx == nil {
		panic("nil Context")
	}
	run := w.shape.facts()
	answer, err := w.worker.Call(ctx, &param)
	if err != nil {
		return result, w.explain(err)
	}
	heard := false
	defer func() {
		if !heard { // decoding has panicked
			w.worker.Kill()
		}
	}()
	run.hear(&answer, &result)
	heard = true
	if answer.Kind == call.Panicked {
		w.told.Store(true)
		_ = w.worker.DiedIn(ctx, nil) // so that no process is left when Call returns
	}
	if answer.Kind == call.Failed && ctx.Err() != nil {
		run.Cancelled = context.Cause(ctx) // which the error is likely to be about
	}
	run.Relay = answer.Relay
	if err := run.explain(); err != nil {
		discard(&result)
		return *new(R), err
	}
	return result, nil
}

// explain returns the error of a call that was not answered.
func (w *Worker[P, R]) explain(err error) error {
	if end, gone := err.(*call.End); gone {
		w.told.Store(true)
		return w.gone(end)
	}
	return w.shape.facts().unanswered(err)
}

// gone returns why the child has ended.
func (w *Worker[P, R]) gone(end *call.End) error {
	run := w.shape.facts()
	run.NotBegun = end.NotBegun
	if end.Word.Kind == call.Panicked {
		panicked := newPanicError(run.name, &end.Word)
		return run.failure("worker is gone, reason: "+panicked.Error(), panicked)
	}
	if end.Closed && end.Idle && w.badEnd(end) == nil {
		return w.explain(call.ErrClosed)
	}
	return run.ended(end)
}

// Close ends the worker and blocks until its child is reaped. Calls that are being served, and then
// the child, have the grace period (see [GracePeriod]) to end by themselves. Calls that have not
// begun return [os.ErrClosed].
//
// Close returns an error if the child has ended badly by itself, or if the context of Start has
// ended, unless a call has told so already; and if the kernel does not end the child that Close has
// killed. Closing again returns the same.
func (w *Worker[P, R]) Close() error {
	w.mustBeStarted()
	end := w.worker.Close()
	stuck := end.Killed == call.ErrClosed && end.Status == child.ErrStuck
	if !stuck && (w.told.Load() || !end.Idle) {
		return nil // a call has returned why, or is about to
	}
	return w.badEnd(end)
}

// badEnd returns the error of an end that Close has not asked for, or nil if the child has ended
// well.
func (w *Worker[P, R]) badEnd(end *call.End) error {
	run := w.shape.facts()
	run.answered = true // nothing was asked
	asked := end.Killed == call.ErrClosed || end.Killed == child.ErrLingers
	if asked && end.Status != child.ErrStuck {
		return nil
	}
	return run.ended(end)
}

// Done returns a channel that is closed when the child has ended, for whatever reason. [Worker.Err]
// then tells the reason.
func (w *Worker[P, R]) Done() <-chan struct{} {
	w.mustBeStarted()
	return w.worker.Exited()
}

// Err returns why the worker is gone, as later calls do. It returns nil as long as the child lives,
// and after a Close that went well.
func (w *Worker[P, R]) Err() error {
	w.mustBeStarted()
	select {
	case <-w.worker.Exited():
	default:
		return nil
	}
	end := w.worker.Died()
	if end.Closed && w.badEnd(end) == nil {
		return nil
	}
	return w.gone(end)
}

// PID returns the process ID of the child, as the parent sees it. After the child's end another
// process may have it.
func (w *Worker[P, R]) PID() int {
	w.mustBeStarted()
	return w.worker.PID()
}
