package call

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// An End tells how a child has ended, or why it never was in its namespaces. It is also the error of calls that get no answer.
type End struct {
	child.Outcome
	Unborn    error  // why it was not in its namespaces
	Word      Frame  // its last word, if that was a refusal, a signal or a panic; or else its kind is 0
	Fault     error  // why what it said makes no sense
	Cancelled error  // why its call was cancelled
	NotBegun  bool   // it has certainly not begun with the call
	Unread    bool   // since it had not read the call
	Stack     []byte // where its goroutines were when it was killed
	Closed    bool   // Close was called before the child had ended
	Idle      bool   // when Close was called, no call was being served
}

func (e *End) Error() string { return "child has ended" }

// end returns the end of a child.
func (c *Conversation) end(outcome child.Outcome) *End {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.soFar
	e.Outcome, e.NotBegun = outcome, e.Unread || e.Word.Kind == Refused
	if c.soFar.Killed != nil {
		e.Killed = c.soFar.Killed // though it may have ended, or been killed, in between
	}
	return &e
}

// await waits a moment for the end of ctx, if a signal has ended the child that the parent may have got, too: a terminal, or
// a service manager, signals both. The first process of a PID namespace is out of reach of the signal that Go's runtime then
// sends to it, and exits with status 2.
func (e *End) await(ctx context.Context) {
	exited := e.First && e.State != nil && e.State.ExitCode() == 2
	if !exited && !slices.Contains(sys.GroupSignals, os.Signal(sys.EndedBy(e.State))) {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(e.Ended.Add(signalMoment))):
	}
	e.Cancelled = context.Cause(ctx) // nil, if it has not ended
}

// signalMoment is how much later than its child a parent may learn of a signal.
const signalMoment = 250 * time.Millisecond

// A Cancelled is the error of a call whose context has ended.
type Cancelled struct {
	Cause error
	Begun bool
}

func (e *Cancelled) Error() string { return e.Cause.Error() }
func (e *Cancelled) Unwrap() error { return e.Cause }

// An UnsentError is the error of a parameter that cannot be sent.
type UnsentError struct{ Err error }

func (e *UnsentError) Error() string { return e.Err.Error() }
func (e *UnsentError) Unwrap() error { return e.Err }

// ErrClosed is the error of calls after Close. It wraps [os.ErrClosed]. Made by package fmt it would cost each child 20 µs of its start.
var ErrClosed error = &os.SyscallError{Syscall: "worker is closed", Err: os.ErrClosed}

// errDecoder is why a child is killed if decoding its answer panics in the parent.
var errDecoder = errors.New("decoder of the result panicked")
