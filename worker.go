package reexec

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// A Worker is a child that serves calls of a function, one after the other, and
// so spares each of them the start of a process. [Func.Start] makes one.
//
// After a panic of the function, the end of the child, or a cancelled call, the
// worker is gone, and every later call returns that error.
//
// A Worker is safe for concurrent use. It ends by itself when its parent ends.
type Worker[P, R any] struct {
	line *line
}

// Call calls the function in the child, once all calls that came before are
// done, and blocks until it has answered.
//
// When ctx is done before the call's turn has come, the worker is left alone;
// after that its child is killed. Errors are those of [Func.Call], and
// [os.ErrClosed] after Close. Call panics if ctx is nil or w is the zero Worker.
func (w *Worker[P, R]) Call(ctx context.Context, param P) (result R, err error) {
	l := w.mustBeStarted()
	if ctx == nil {
		panic("nil Context")
	}
	if err := l.call(ctx, param, &result); err != nil {
		return *new(R), err
	}
	return result, nil
}

// Close ends the worker and blocks until its child is reaped. A call that is
// being served, and then the child, have the grace period (see [GracePeriod]) to
// end by themselves. Calls that wait for their turn return [os.ErrClosed].
//
// The error tells that the child has ended badly by itself, or that the context of
// Start has ended, unless a call has told so already. Closing again returns the same.
func (w *Worker[P, R]) Close() error {
	return w.mustBeStarted().close()
}

func (w *Worker[P, R]) mustBeStarted() *line {
	if w == nil || w.line == nil {
		panic("gons/reexec: Worker: zero Worker, use Func.Start")
	}
	return w.line
}

// A line connects the parent with a child that serves a function. Its methods are
// for one goroutine at a time, but for call and close.
type line struct {
	action  *ReexecAction
	p       *process
	answers *bufio.Reader
	sent    <-chan error  // how sending the parameter of a single call went
	stop    func() bool   // ends the watch over the context
	turn    chan struct{} // held by the call that is being served
	closing chan struct{} // closed by the first close
	close   func() error  // ends the child, once
	gone    error         // why there is no child any more; guarded by turn
}

// dial starts a child for a function. It serves a single parameter, or stays open
// for more; then dial waits until it is ready.
func (a *ReexecAction) dial(ctx context.Context, frame []byte, open bool) (*line, error) {
	p, err := a.start(ctx, frame, open)
	if err != nil {
		return nil, err
	}
	l := &line{
		action:  a,
		p:       p,
		answers: bufio.NewReader(&p.answer),
		stop:    onDone(ctx, func() { p.abort(context.Cause(ctx)) }),
		turn:    make(chan struct{}, 1),
		closing: make(chan struct{}),
	}
	l.close = sync.OnceValue(l.end)
	if !open {
		l.sent = p.send()
		return l, nil
	}
	if err := l.receive(nil); err != nil {
		return nil, l.hangUp(err)
	}
	return l, nil
}

// errLost is why a child is not heard of any more.
var errLost = errors.New("child has ended without an answer")

// A lineError is an error that leaves nothing to say to the child.
type lineError struct{ error }

func (e *lineError) Unwrap() error { return e.error }

// A refusal says why a child does not serve its function.
type refusal struct{ text string }

func (e *refusal) Error() string { return e.text }

// receive receives an answer: the result, or the news that the child is ready.
func (l *line) receive(result any) error {
	kind, body, err := readFrame(l.answers)
	if err != nil {
		return &lineError{errLost}
	}
	switch kind {
	case readyFrame:
		if result == nil {
			return nil
		}
		err = errors.New("child is ready once more")
	case resultFrame:
		if result == nil {
			err = errors.New("child answers before it is ready")
			break
		}
		if err := json.Unmarshal(body, result); err != nil {
			return l.action.failure("cannot decode child result, reason: "+err.Error(), "", err)
		}
		return nil
	case badFrame:
		var text string
		if err = json.Unmarshal(body, &text); err == nil {
			return l.action.failure(text, "", errors.New(text))
		}
	case errorFrame:
		var failed FuncError
		if err = json.Unmarshal(body, &failed); err == nil {
			return &failed
		}
	case panicFrame:
		var panicked PanicError
		if err = json.Unmarshal(body, &panicked); err == nil {
			return &lineError{&panicked}
		}
	case switchFrame:
		var text string
		if err = json.Unmarshal(body, &text); err == nil {
			return &lineError{&refusal{text}}
		}
	default:
		err = fmt.Errorf("frame of unknown kind %q", kind)
	}
	return &lineError{fmt.Errorf("cannot understand child: %w", err)}
}

// call waits for its turn and then has the child serve a parameter.
func (l *line) call(ctx context.Context, param, result any) error {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
	case <-l.closing:
	}
	select {
	case <-l.closing:
		return l.closed()
	default:
	}
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		return l.action.failure("call was not started, reason: "+cause.Error(), "", cause)
	}
	if l.gone != nil {
		return l.gone
	}
	frame, err := l.action.paramFrame(param)
	if err != nil {
		return err
	}
	stop := onDone(ctx, func() { l.p.abort(context.Cause(ctx)) })
	growPipe(l.p.stdin, len(frame))
	_, _ = l.p.stdin.Write(frame) // a child that does not take it does not answer either
	err = l.receive(result)
	cancelled := stop()
	if cancelled && err == nil {
		err = &lineError{errLost}
	}
	if lost := (*lineError)(nil); cancelled || errors.As(err, &lost) {
		l.gone = l.hangUp(err)
		return l.gone
	}
	return err
}

// closed is the error of calls after Close.
func (l *line) closed() error {
	return l.action.failure("worker is closed", "", os.ErrClosed)
}

// end is what close does the first time.
func (l *line) end() error {
	close(l.closing)
	grace, cancel := context.WithTimeout(context.Background(), l.p.grace)
	defer cancel()
	stop := onDone(grace, func() { l.p.abort(os.ErrClosed) })
	l.turn <- struct{}{}
	stop()
	if l.gone != nil {
		return nil
	}
	l.gone = l.closed()
	return l.hangUp(nil)
}

// hangUp ends the child, which has the grace period to do so by itself, and
// returns the error of the call: usually err, the outcome of receive, but a child
// that was killed, or died, tells more.
func (l *line) hangUp(err error) error {
	p := l.p
	if l.sent == nil {
		_ = p.stdin.Close()
	}
	p.linger()
	_, _ = io.Copy(io.Discard, &p.answer)
	p.await()
	l.stop()
	if l.sent != nil {
		<-l.sent
	}
	p.close()

	o := p.outcome()
	var lost *lineError
	var panicked *PanicError
	var refused *refusal
	isLost := errors.As(err, &lost)
	o.forgive(errLingers, !isLost)
	if isLost && lost.error == errLost && o.killed == nil && o.cut != os.ErrClosed {
		o.killed = o.cut
	}
	if err == nil {
		o.forgive(os.ErrClosed, true) // there was no call any more
	}
	switch {
	case o.killed != nil || err == nil:
		return l.action.ended(o)
	case !isLost:
		return err
	case errors.As(err, &panicked):
		return panicked
	case errors.As(err, &refused):
		return l.action.failed(refused.text, o.stderr, refused, o.status)
	case lost.error != errLost:
		return l.action.failure(lost.Error(), o.stderr, lost, o.status)
	}
	if o.status == nil {
		o.status = &exec.ExitError{ProcessState: p.cmd.ProcessState} // this was no time to end well
	}
	return l.action.failure(fmt.Sprintf("%v, reason: %v, stderr: %q", errLost, o.status, o.stderr), o.stderr, o.status)
}
