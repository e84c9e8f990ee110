package reexec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.com/gons/reexec/internal/birth"
)

// An ActionError says why the run of an action failed. Its text is one line and
// tells the most important reason; all of them are in its chain, so most callers
// want [errors.Is] and [errors.As], for instance with [context.DeadlineExceeded],
// an [*exec.ExitError] or a [*json.SyntaxError].
type ActionError struct {
	Action string // name of the action
	Stderr string // what the child wrote to stderr, shortened in the middle when long
	Err    error  // what went wrong: *exec.ExitError, a JSON error, the context's cause, …

	text string // what Error says
}

// Error tells in one line why the action failed.
func (e *ActionError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("gons/reexec: action %q failed: %v", e.Action, e.Err)
	}
	return e.text
}

// Unwrap returns Err.
func (e *ActionError) Unwrap() error { return e.Err }

// errSpoke is the failure of a child that wrote to its stderr.
var errSpoke = errors.New("child wrote to stderr")

// failure returns the error of a run: what happened, what the child wrote to
// stderr, and the causes, of which nil ones are left out.
func (a *ReexecAction) failure(what, stderr string, causes ...error) error {
	prefix := "gons/reexec: ReexecAction.Run: "
	if a.isFunc {
		prefix = fmt.Sprintf("gons/reexec: function %q: ", a.ActionName)
	}
	return a.failed(prefix+what, stderr, causes...)
}

// failed is failure with the whole text.
func (a *ReexecAction) failed(text, stderr string, causes ...error) error {
	causes = slices.DeleteFunc(causes, func(err error) bool { return err == nil })
	err := causes[0]
	if len(causes) > 1 {
		err = errors.Join(causes...)
	}
	return &ActionError{
		Action: a.ActionName,
		Stderr: stderr,
		Err:    err,
		text:   oneLine(text),
	}
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

// unborn returns the error of a run whose child is not where it should be.
func (a *ReexecAction) unborn(o outcome, err error) error {
	var join *birth.JoinError
	switch {
	case o.killed != nil:
		return a.ended(o)
	case errors.As(err, &join):
		if join.Kind != "" {
			err = &JoinError{Type: join.Kind, Path: join.Path, Err: join.Err, text: join.Text}
		}
		what := join.Text
		if !a.isFunc { // as if the child itself had said so
			what = fmt.Sprintf("child failed with stderr message %q", join.Text)
		}
		return a.failure(what, join.Text, err, o.status)
	}
	what := err.Error()
	if o.status != nil {
		what += ", " + o.status.Error()
	}
	if o.stderr != "" {
		what += fmt.Sprintf(", stderr: %q", o.stderr)
	}
	return a.failure(what, o.stderr, err, o.status)
}

// notStarted returns an error if the context is done before a child is started.
func (a *ReexecAction) notStarted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	cause := context.Cause(ctx)
	return a.failure("child was not started, reason: "+cause.Error(), "", cause)
}

// oneLine makes one line of a text.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", " ") }
