package reexec

import (
	"errors"
	"fmt"
	"syscall"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/frame"
)

// An ActionError says why the run of a function or an action failed, other than by an
// error or a panic of the function. Its text is one line and tells the most important
// reason; all of them are in its chain, so most callers want [errors.Is] and [errors.As],
// for instance with [context.DeadlineExceeded], a [*JoinError], an [*exec.ExitError] or, of
// an action, a [*json.SyntaxError].
type ActionError struct {
	Action string // name of the function or action
	Stderr string // what the child wrote to stderr, shortened in the middle when long
	Err    error  // what went wrong: *exec.ExitError, the context's cause, why a value cannot travel, …

	text string // what Error says
}

// Error tells in one line why the run failed.
func (e *ActionError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("gons/reexec: action %q failed: %v", e.Action, e.Err)
	}
	return e.text
}

// Unwrap returns Err.
func (e *ActionError) Unwrap() error { return e.Err }

// A JoinError says which namespace a child could not join. It is in the chain of an
// [*ActionError]; most callers want [errors.Is], for instance with [fs.ErrNotExist]
// or [syscall.EPERM].
type JoinError struct {
	Type string // "net"
	Path string // its reference
	Err  error  // why, usually a syscall.Errno

	text string // what Error says
}

func newJoinError(e *birth.JoinError) *JoinError {
	return &JoinError{Type: e.Kind, Path: e.Path, Err: e.Err, text: oneLine(e.Text)}
}

// public returns the JoinError of this package for that of package birth, and all other errors as they are.
func public(err error) error {
	var join *birth.JoinError
	if errors.As(err, &join) {
		return newJoinError(join)
	}
	return err
}

// Error says in the words of package gons what went wrong, and where the reason alone
// misleads, what to do about it.
func (e *JoinError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("package gons: cannot join gons_%s using reference %q: %v", e.Type, e.Path, e.Err)
	}
	return e.text
}

// Unwrap returns Err.
func (e *JoinError) Unwrap() error { return e.Err }

// A FuncError is an error that a function has returned in a child. Its text is that of
// the function's error; its type stays behind.
type FuncError struct {
	Func    string        // name of the function
	Message string        // text of the error it returned
	Errno   syscall.Errno // the first one in the chain of that error, or 0

	causes []error // what has travelled of that chain
}

func newFuncError(name string, answer frame.Frame) error {
	failure := failureOf(answer)
	e := &FuncError{Func: name, Message: failure.Message, causes: failure.Causes()}
	if len(failure.Errnos) > 0 {
		e.Errno = failure.Errnos[0]
	}
	return e
}

// Error returns the text of the error that the function returned, as one line.
func (e *FuncError) Error() string { return oneLine(e.Message) }

// Unwrap returns what has travelled of the function's error: what was in its chain of
// [syscall.Errno], so that [errors.Is] finds for instance [syscall.ENOENT] on both sides, and of the
// errors that packages context and os declare, such as [context.Canceled] and [fs.ErrNotExist].
func (e *FuncError) Unwrap() error {
	switch {
	case len(e.causes) == 1:
		return e.causes[0]
	case len(e.causes) > 1:
		return causeList(e.causes)
	case e.Errno != 0: // made by a client
		return e.Errno
	}
	return nil
}

// A PanicError is a panic of a function in a child, or the end of its goroutine.
type PanicError struct {
	Func  string // name of the function
	Value string // the panic value, printed
	Stack []byte // the child's stack
}

func newPanicError(name string, answer frame.Frame) error {
	var panicked frame.Panic
	if err := answer.Decode(&panicked); err != nil {
		panicked.Value = "a panic that cannot be understood: " + err.Error()
	}
	return &PanicError{Func: name, Value: panicked.Value, Stack: panicked.Stack}
}

// Error returns the panic value; the stack is left to those who want it.
func (e *PanicError) Error() string {
	return fmt.Sprintf("gons/reexec: function %q panicked: %s", e.Func, oneLine(e.Value))
}
