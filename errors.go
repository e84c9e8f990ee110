package reexec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// A joinError tells, in the words of package gons, why a namespace could not be
// joined.
type joinError struct{ error }

func newJoinError(format string, args ...any) error {
	return &joinError{fmt.Errorf("package gons: "+format, args...)}
}

func (e *joinError) Unwrap() error { return e.error }

// A killedError tells that a child was killed while it was still being started,
// why, and how it ended.
type killedError struct{ why, status error }

func (e *killedError) Error() string { return e.why.Error() }

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
