package reexec

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/call"
	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// ErrNotStarted is what [errors.Is] finds in an error of a [Func], a [Worker] or a [Stream] whose function has certainly not
// begun: the call may be tried again, once what was wrong is mended. A worker that is gone, or closed, fails every call, so
// try with a new one. An error without it leaves open whether the function has begun.
var ErrNotStarted = errors.New("function has not begun")

// An ActionError says why the run of a function or an action failed, other than by an
// error or a panic of the function. Its text is one line and tells the most important
// reason; all of them are in its chain, so most callers want [errors.Is] and [errors.As],
// for instance with [context.DeadlineExceeded], a [*JoinError], an [*exec.ExitError] or, of
// an action, a [*json.SyntaxError].
type ActionError struct {
	Action string // name of the function or action
	Stderr string // what the child wrote to stderr, since its start, shortened in the middle when long
	Err    error  // what went wrong: *exec.ExitError, the context's cause, why a value cannot travel, …
	Stack  []byte // where the goroutines of a child were, those of its functions first, when it was killed at the end of a call's context; nil if it did not say

	text       string // what Error says
	notStarted bool
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

// Is tells whether target is [ErrNotStarted], and the function has not begun.
func (e *ActionError) Is(target error) bool { return target == ErrNotStarted && e.notStarted }

// Timeout tells whether a time limit is the cause, as [net/http] and [os.IsTimeout] ask.
func (e *ActionError) Timeout() bool {
	var timeout interface{ Timeout() bool }
	return errors.As(e.Err, &timeout) && timeout.Timeout()
}

// Format prints the error for package fmt. With %+v stderr and stack follow.
func (e *ActionError) Format(s fmt.State, verb rune) {
	format(s, verb, e, part{"stderr", e.Stderr}, part{"stack", string(e.Stack)})
}

// A JoinError says which namespace a child could not join. It is in the chain of an
// [*ActionError]; most callers want [errors.Is], for instance with [fs.ErrNotExist]
// or [syscall.EPERM].
type JoinError struct {
	Type string // "net"
	Path string // its reference
	Err  error  // why, usually a syscall.Errno

	text string // what Error says
}

// public returns the JoinError of this package for one of package birth that names a namespace, and all other errors as they are.
func public(err error) error {
	if join := (*birth.JoinError)(nil); errors.As(err, &join) && join.Kind != "" {
		return &JoinError{Type: join.Kind, Path: join.Path, Err: join.Err, text: oneLine(join.Text)}
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
// the function's error; its type stays behind. It is a [net.Error].
type FuncError struct {
	Func    string    // name of the function
	Message string    // text of the error it returned, shortened in the middle if it is longer than 64 KiB
	Errno   sys.Errno // a [syscall.Errno]: the first one in the chain of that error, or 0

	failure call.Failure // what has travelled of that error
}

func newFuncError(name string, failure call.Failure) error {
	e := &FuncError{Func: name, Message: failure.Message, failure: failure}
	if len(failure.Errnos) > 0 {
		e.Errno = failure.Errnos[0]
	}
	return e
}

// Error returns the text of the error that the function returned, as one line, shortened in the middle if it is longer
// than 4 KiB.
func (e *FuncError) Error() string { return shortLine(e.Message) }

// Unwrap returns what has travelled of the function's error: each [syscall.Errno] of its chain, so that [errors.Is] finds
// for instance [syscall.ENOENT] on both sides, the errors that packages errors, io, io/fs, os, os/exec and context declare,
// such as [io.EOF], and those of [RegisterErrors].
func (e *FuncError) Unwrap() []error { return e.failure.Causes() }

// Is tells whether target is an error that package net declares, such as [net.ErrClosed], and was in the chain of the
// function's error.
func (e *FuncError) Is(target error) bool { return e.failure.Is(target) }

// Timeout tells what the method of that name of the function's error says, if it has one.
func (e *FuncError) Timeout() bool { return e.failure.Timeout }

// Temporary tells what the method of that name of the function's error says, if it has one.
func (e *FuncError) Temporary() bool { return e.failure.Temporary }

// A PanicError is a panic of a function in a child, or the end of its goroutine.
type PanicError struct {
	Func  string // name of the function
	Value string // the panic value, printed, and shortened in the middle if it is longer than 64 KiB
	Stack []byte // the child's stack
}

func newPanicError(name string, answer *call.Answer) error {
	var panicked call.Panic
	if err := answer.Decode(&panicked); err != nil {
		panicked.Value = "a panic that cannot be understood: " + err.Error()
	}
	return &PanicError{Func: name, Value: panicked.Value, Stack: panicked.Stack}
}

// Error returns the panic value, as one line, shortened in the middle if it is longer than 4 KiB.
func (e *PanicError) Error() string {
	return fmt.Sprintf("gons/reexec: function %q panicked: %s", e.Func, shortLine(e.Value))
}

// Format prints the error for package fmt. With %+v the stack follows.
func (e *PanicError) Format(s fmt.State, verb rune) {
	format(s, verb, e, part{"stack", string(e.Stack)})
}

// A part is what %+v prints behind an error.
type part struct{ name, text string }

func format(s fmt.State, verb rune, err error, parts ...part) {
	if verb != 'v' || !s.Flag('+') {
		_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), err.Error())
		return
	}
	_, _ = io.WriteString(s, err.Error())
	for _, p := range parts {
		if p.text != "" {
			_, _ = fmt.Fprintf(s, "\n%s:\n%s", p.name, strings.TrimSuffix(printable(p.text, "\n\t"), "\n"))
		}
	}
}

// shortLine makes one line of a text, and shortens it.
func shortLine(text string) string { return oneLine(child.Excerpt(text, maxLine/2)) }

const maxLine = 4 << 10 // bytes
