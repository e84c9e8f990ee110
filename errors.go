package reexec

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/conversation"
	"example.com/gons/reexec/internal/process"
)

// An ActionError says why the run of a function or an action failed, other than by an
// error or a panic of the function. Its text is one line and tells the most important
// reason; all of them are in its chain, so most callers want [errors.Is] and [errors.As],
// for instance with [context.DeadlineExceeded], a [*JoinError], an [*exec.ExitError] or a
// [*json.SyntaxError].
type ActionError struct {
	Action string // name of the function or action
	Stderr string // what the child wrote to stderr, shortened in the middle when long
	Err    error  // what went wrong: *exec.ExitError, a JSON error, the context's cause, …

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

// facts are what is known of a run that has failed, or may have. Method explain makes an
// error of them, or none; the others are for what goes wrong before there is a child.
type facts struct {
	name     string
	function bool // or else an action

	process.Outcome
	unborn    error // why the child was not where it should be
	cancelled error // why the call was cancelled
	answered  bool  // the answer is complete

	result  bool   // of an action: an answer was wanted
	spoke   bool   // it wrote to stderr, which is a failure
	send    error  // why the parameter was not sent to its end
	decode  error  // why the answer could not be decoded
	excerpt string // of that answer

	reply   error  // of a function: the error that it answered
	refusal string // why the child did not serve it
	fault   error  // why the child's words made no sense
}

var (
	errSpoke   = errors.New("child wrote to stderr")
	errRefused = errors.New("child does not serve the function")
	errLost    = errors.New("child has ended without an answer")
)

// explain returns the error of a run that has ended. The first row that is true counts:
// the fact, the text, and all causes, of which nil ones are left out.
func (f facts) explain() error {
	lingered := f.Killed == process.ErrLingers // which is no failure in itself
	killed := f.Killed
	switch {
	case lingered:
		killed = nil
	case killed == nil && f.cutShort() && (errors.Is(f.decode, process.ErrHeld) || f.function && !f.answered):
		killed = f.Cut // there was nobody left to be killed
	}
	status := f.Status
	if lingered && f.answered && process.EndedByKill(status) ||
		f.answered && (f.function || f.result && !f.spoke) && errors.Is(status, syscall.ECHILD) {
		status = nil
	}
	send := f.send
	// Whether a child reads its parameter is its own affair, as long as it does what it is
	// asked for.
	if f.answered && (f.result || !f.spoke && status == nil) {
		send = nil
	}

	var join *birth.JoinError
	var unsent, spoke, ends string
	if send != nil {
		unsent = fmt.Sprintf("cannot send parameter to child, reason: %v, ", send)
	}
	if status != nil {
		ends = ", " + status.Error()
	}
	if f.spoke {
		spoke = fmt.Sprintf("child failed with stderr message %q", f.Stderr)
	}
	switch {
	case errors.As(f.unborn, &join):
		return f.joinFailure(join)
	case killed != nil:
		return f.failure("child was killed, reason: "+killed.Error(), killed, f.reply, f.Status)
	case f.cancelled != nil: // the function has returned in time
		return f.failure("call was cancelled, reason: "+f.cancelled.Error(), f.cancelled, f.reply, status)
	case f.unborn != nil:
		return f.failure(f.unborn.Error()+ends+f.quoted(), f.unborn, status)

	case f.spoke:
		return f.failure(unsent+spoke, send, errSpoke, f.decode, status, f.Relay)
	case f.decode != nil && !f.function:
		return f.failure(fmt.Sprintf("%scannot decode child result, reason: %v, child wrote %q%s", unsent, f.decode, f.excerpt, ends),
			send, f.decode, status, f.Relay)
	case send != nil:
		return f.failure(strings.TrimSuffix(unsent+strings.TrimPrefix(ends, ", "), ", "), send, status, f.Relay)

	case f.reply != nil:
		return f.reply
	case f.decode != nil:
		return f.failure("cannot decode child result, reason: "+f.decode.Error(), f.decode)
	case f.refusal != "":
		return f.failure(f.refusal, errRefused, status)
	case f.fault != nil:
		return f.failure("cannot understand child: "+f.fault.Error(), f.fault, status)
	case f.function && !f.answered:
		return f.failure(fmt.Sprintf("%v, reason: %v%s", errLost, f.exit(), f.quoted()), errLost, f.exit())

	case status != nil:
		return f.failure("child failed, reason: "+status.Error(), status)
	case f.Relay != nil:
		return f.failure("cannot pass on stderr of child, reason: "+f.Relay.Error(), f.Relay)
	}
	return nil
}

// cutShort tells whether a context's end cut short the wait for what the child's
// descendants hold.
func (f facts) cutShort() bool {
	return f.Cut != nil && f.Cut != process.ErrLingers && f.Cut != conversation.ErrClosed
}

// exit is how a child has ended when this was no time to end, not even well.
func (f facts) exit() error {
	if f.Status == nil {
		return &exec.ExitError{ProcessState: f.State}
	}
	return f.Status
}

// quoted quotes what a child wrote to stderr, in short.
func (f facts) quoted() string {
	if f.Stderr == "" && f.unborn != nil {
		return ""
	}
	return fmt.Sprintf(", stderr: %q", process.Excerpt(f.Stderr, maxQuoted))
}

// maxQuoted is how many bytes of each the beginning and the end of a stderr are in the
// text of a function's error.
const maxQuoted = 512

// joinFailure is the error of a child that could not join a namespace.
func (f facts) joinFailure(join *birth.JoinError) error {
	text := oneLine(join.Text)
	f.Stderr = text // as if the child itself had said so
	var cause error = join
	if join.Kind != "" {
		cause = &JoinError{Type: join.Kind, Path: join.Path, Err: join.Err, text: text}
	}
	if !f.function {
		text = fmt.Sprintf("child failed with stderr message %q", text)
	}
	return f.failure(text, cause, f.Status)
}

// notStarted is the error of a context that is done before there is a child.
func (f facts) notStarted(cause error) error {
	return f.failure("child was not started, reason: "+cause.Error(), cause)
}

// unsent is the error of a parameter that cannot be sent.
func (f facts) unsent(cause error) error {
	return f.failure("cannot send parameter to child, reason: "+cause.Error(), cause)
}

// cannotStart is the error of a child that cannot be started.
func (f facts) cannotStart(cause error) error {
	return f.failure("cannot start child, reason: "+cause.Error(), cause)
}

// failure returns an ActionError: what happened, and the causes.
func (f facts) failure(what string, causes ...error) error {
	if f.function {
		return f.bare(fmt.Sprintf("gons/reexec: function %q: %s", f.name, what), causes...)
	}
	return f.bare("gons/reexec: ReexecAction.Run: "+what, causes...)
}

// bare is failure with the whole text.
func (f facts) bare(text string, causes ...error) error {
	causes = slices.DeleteFunc(causes, func(err error) bool { return err == nil })
	err := causes[0]
	if len(causes) > 1 || oneLine(err.Error()) != err.Error() {
		err = causeList(causes)
	}
	return &ActionError{Action: f.name, Stderr: f.Stderr, Err: err, text: oneLine(text)}
}

// A causeList is several errors, or one of several lines, in one line.
type causeList []error

func (l causeList) Error() string {
	texts := make([]string, len(l))
	for i, err := range l {
		texts[i] = err.Error()
	}
	return oneLine(strings.Join(texts, "; "))
}

func (l causeList) Unwrap() []error { return l }

// oneLine makes one line of a text, without anything that a terminal would obey to: a text
// may be a child's.
func oneLine(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) < 0 {
		return text
	}
	var line strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == '\n':
			line.WriteByte(' ')
		case unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			line.WriteRune(r)
		default:
			quoted := strconv.Quote(text[:size])
			line.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	return line.String()
}
