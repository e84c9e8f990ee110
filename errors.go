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

// ErrNotStarted is what [errors.Is] finds in an error of a [Func], a [Worker] or a [Stream] if the
// function has certainly not begun. So the call may be tried again, once what was wrong is mended.
// A worker that is gone, or closed, fails every call, so try with a new one. An error without it
// leaves open whether the function has begun.
var ErrNotStarted = errors.New("function has not begun")

// An ActionError says why the run of a function or an action failed, other than by an error or a
// panic of the function. Its text is one line and tells the most important reason. All reasons are
// in its chain, so most callers want [errors.Is] and [errors.As], for instance with
// [context.DeadlineExceeded], [ErrNotStarted], a [*JoinError], an [*exec.ExitError] or, of an
// action, a [*json.SyntaxError].
//
// In package fmt, %+v prints stderr and stack behind the text.
type ActionError struct {
	Action string // name of the function or action
	Stderr string // what the child wrote to stderr since its start, shortened in the middle when long
	Err    error  // what went wrong: *exec.ExitError, the context's cause, why a value cannot travel, …

	// Where the goroutines of the child were when it was killed at the end of a call's context, those of
	// its functions first. It is nil if the child did not say.
	Stack []byte

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

// Is reports whether target is [ErrNotStarted] and the function has not begun.
func (e *ActionError) Is(target error) bool { return target == ErrNotStarted && e.notStarted }

// Timeout reports whether a time limit was the cause, such as the deadline of a context. Package
// net/http and [os.IsTimeout] ask for it.
func (e *ActionError) Timeout() bool {
	var timeout interface{ Timeout() bool }
	return errors.As(e.Err, &timeout) && timeout.Timeout()
}

// Format implements [fmt.Formatter]. With %+v the stderr and the stack of the child follow the
// text.
func (e *ActionError) Format(s fmt.State, verb rune) {
	format(s, verb, e, part{"stderr", e.Stderr}, part{"stack", string(e.Stack)})
}

// A JoinError says which namespace a child could not join. It is in the chain of an [*ActionError],
// or of an error of [NamespacesOf]. Most callers want [errors.Is], for instance with
// [io/fs.ErrNotExist] or [syscall.EPERM].
type JoinError struct {
	Type string // such as "net"
	Path string // its reference, such as "/proc/42/ns/net"
	Err  error  // why, usually a syscall.Errno

	text string // what Error says
}

// public makes the JoinError of this package of one of package birth that names a namespace. It
// returns all other errors as they are.
func public(err error) error {
	if join := (*birth.JoinError)(nil); errors.As(err, &join) && join.Kind != "" {
		return &JoinError{Type: join.Kind, Path: join.Path, Err: join.Err, text: oneLine(join.Text)}
	}
	return err
}

// Error says which namespace the child could not join, and why. If the reason alone misleads, it
// also says in parentheses what to do.
func (e *JoinError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("package gons: cannot join gons_%s using reference %q: %v", e.Type, e.Path, e.Err)
	}
	return e.text
}

// Unwrap returns Err.
func (e *JoinError) Unwrap() error { return e.Err }

// A FuncError is an error that a function has returned in a child. Its text is that of the
// function's error; its type stays behind. [FuncError.Unwrap] and [FuncError.Is] say what
// [errors.Is] finds in it. It is a [net.Error].
type FuncError struct {
	Func    string    // name of the function
	Message string    // text of its error, shortened in the middle if it is longer than 64 KiB
	Errno   sys.Errno // the first syscall.Errno in the chain of its error, or 0

	failure call.Failure // what has travelled of its error
}

func newFuncError(name string, failure call.Failure) error {
	e := &FuncError{Func: name, Message: failure.Message, failure: failure}
	if len(failure.Errnos) > 0 {
		e.Errno = failure.Errnos[0]
	}
	return e
}

// Error returns the text of the function's error as one line, shortened in the middle if it is
// longer than 4 KiB.
func (e *FuncError) Error() string { return shortLine(e.Message) }

// Unwrap returns what has travelled of the chain of the function's error: each [syscall.Errno], so
// that [errors.Is] finds for instance [syscall.ENOENT] on both sides; the errors that packages
// errors, io, io/fs, os, os/exec and context declare, such as [io.EOF]; and those of
// [RegisterErrors].
func (e *FuncError) Unwrap() []error { return e.failure.Causes() }

// Is reports whether target is an error that package net declares, such as [net.ErrClosed], or
// os.ErrNoHandle of Go 1.26, and was in the chain of the function's error.
func (e *FuncError) Is(target error) bool { return e.failure.Is(target) }

// Timeout returns what the method Timeout of the function's error returned, or false if it has
// none.
func (e *FuncError) Timeout() bool { return e.failure.Timeout }

// Temporary returns what the method Temporary of the function's error returned, or false if it has
// none.
func (e *FuncError) Temporary() bool { return e.failure.Temporary }

// A PanicError is a panic of a function in a child, or the end of its goroutine ([runtime.Goexit]).
// In package fmt, %+v prints the stack behind the text.
type PanicError struct {
	Func  string // name of the function
	Value string // the panic value as text, shortened in the middle if it is longer than 64 KiB
	Stack []byte // the stack of the goroutine that panicked
}

func newPanicError(name string, answer *call.Frame) error {
	var panicked call.Panic
	if err := answer.Decode(&panicked); err != nil {
		panicked.Value = "a panic that cannot be understood: " + err.Error()
	}
	return &PanicError{Func: name, Value: panicked.Value, Stack: panicked.Stack}
}

// Error returns the panic value as one line, shortened in the middle if it is longer than 4 KiB.
func (e *PanicError) Error() string {
	return fmt.Sprintf("gons/reexec: function %q panicked: %s", e.Func, shortLine(e.Value))
}

// Format implements [fmt.Formatter]. With %+v the stack follows the text.
func (e *PanicError) Format(s fmt.State, verb rune) {
	format(s, verb, e, part{"stack", string(e.Stack)})
}

// A part is what %+v prints behind the text of an error.
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
