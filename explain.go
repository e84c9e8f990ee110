package reexec

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/call"
	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// facts are what is known of a run. Method explain decides which error they make, if any. Method
// notBegun is for what goes wrong before there is a child.
type facts struct {
	name     string
	function bool // not an action

	call.End       // of the child
	answered bool  // the answer is complete
	decode   error // why it could not be decoded
	reply    error // of a function: the error that it answered

	result  bool   // of an action: an answer was wanted
	spoke   bool   // it wrote to stderr, which is a failure
	excerpt string // of the answer, if that could not be decoded
}

var (
	errSpoke   = errors.New("child wrote to stderr")
	errRefused = errors.New("child does not serve the function")
	errLost    = errors.New("child has ended without an answer")
)

// explain returns the error of a run that has ended, or nil. The cases are in order
// of importance, and the first that holds makes the text. Its causes are wrapped; nil ones are dropped.
func (f facts) explain() error {
	killed, status, send := f.whyKilled(), f.badStatus(), f.sendFailure()
	lastWord, noAnswer := f.lastWord()
	unsent, ends := "", ""
	if send != nil {
		unsent = fmt.Sprintf("%s, reason: %v, ", cannotSend, send)
	}
	if status != nil {
		ends = ", " + status.Error()
	}
	if f.Unborn != nil { // a call that went well allocates nothing here
		var join *birth.JoinError
		if errors.As(f.Unborn, &join) {
			return f.joinFailure(join)
		}
	}
	switch {
	case killed != nil:
		return f.failure("child was killed, reason: "+killed.Error()+f.inWhichState(), killed, f.reply, f.Status)
	case f.Cancelled != nil: // the function has returned in time
		return f.failure("call was cancelled, reason: "+f.Cancelled.Error(), f.Cancelled, f.reply, status)
	case f.Unborn != nil:
		return f.failure(f.Unborn.Error()+ends+f.quoted(), f.Unborn, status)

	case f.spoke:
		return f.failure(fmt.Sprintf("%schild failed with stderr message %q", unsent, f.Stderr),
			send, errSpoke, f.decode, status, f.Relay)
	case f.decode != nil && !f.function:
		return f.failure(fmt.Sprintf("%scannot decode child result, reason: %v, child wrote %q%s", unsent, f.decode, f.excerpt, ends),
			send, f.decode, status, f.Relay)
	case send != nil:
		return f.failure(fmt.Sprintf("%s, reason: %v%s", cannotSend, send, ends), send, status, f.Relay)

	case f.reply != nil:
		return f.reply
	case f.decode != nil:
		return f.failure("cannot decode child result, reason: "+f.decode.Error(), f.decode)
	case lastWord != "":
		return f.failure(lastWord, noAnswer, status)
	case f.Fault != nil && !f.answered:
		return f.failure("cannot understand child: "+f.Fault.Error(), f.Fault, status)
	case f.function && !f.answered:
		return f.failure(fmt.Sprintf("%v, reason: %v%s%s", errLost, f.exit(), f.inWhichState(), f.quoted()), errLost, f.exit())
	case status != nil:
		return f.failure("child failed, reason: "+status.Error(), status)
	case f.Relay != nil:
		return f.failure(f.Relay.Error(), f.Relay)
	}
	return nil
}

// whyKilled returns why the child was killed, if that is a failure: a child that lingered had
// answered, and an action that has succeeded had ended before it could be killed. If the child had
// ended by itself, and the context ended the wait for its descendants, that counts as well.
func (f facts) whyKilled() error {
	switch {
	case f.Killed == child.ErrLingers, !f.function && f.answered && !f.spoke && f.Status == nil:
		return nil
	case f.Killed == nil && f.decode == child.ErrHeld:
		return f.Left
	}
	return f.Killed
}

// inWhichState adds to the text what else is known of a child that has ended, or was killed.
func (f facts) inWhichState() (state string) {
	if f.Unread {
		state = " (it had not begun its function)"
	}
	if f.Killed != nil && f.Status == child.ErrStuck {
		state += ", and does not end"
	}
	return state
}

// badStatus returns the child's status, if that is a failure. After an answer it is not one if this
// package has killed the child, or if the status is unknown.
func (f facts) badStatus() error {
	ours := f.Killed == child.ErrLingers && (f.Status == child.ErrStuck || sys.EndedBy(f.State) == os.Kill)
	unknown := (f.function || f.result && !f.spoke) && errors.Is(f.Status, sys.ECHILD)
	if f.answered && (ours || unknown) {
		return nil
	}
	return f.Status
}

// sendFailure returns why the parameter was not sent, if that is a failure. An action that succeeds
// may leave it unread.
func (f facts) sendFailure() error {
	if f.answered && (f.result || !f.spoke && f.badStatus() == nil) {
		return nil
	}
	return f.Unsent
}

// exit returns how a child has ended that has not answered. Status 0 is an error then, too.
func (f facts) exit() error {
	if f.Status == nil {
		return &exec.ExitError{ProcessState: f.State}
	}
	return f.Status
}

// quoted adds to the text what a child wrote to stderr, shortened.
func (f facts) quoted() string {
	if f.Stderr == "" && f.Unborn != nil {
		return ""
	}
	return fmt.Sprintf(", stderr: %q", child.Excerpt(f.Stderr, maxQuotedStderr))
}

// maxQuotedStderr is how many bytes of the beginning of stderr, and of its end, the text of a
// function's error holds.
const maxQuotedStderr = 512

// joinFailure returns the error of a child that could not join a namespace.
func (f facts) joinFailure(join *birth.JoinError) error {
	text := oneLine(join.Text)
	f.Stderr = text // as if the child had written it
	if !f.function {
		text = fmt.Sprintf("child failed with stderr message %q", text)
	}
	return f.failure(text, public(join), f.Status)
}

// unanswered returns the error of a call that was not answered, for what package call tells of
// that.
func (f facts) unanswered(err error) error {
	switch err := err.(type) {
	case *call.End:
		return f.ended(err)
	case *call.UnsentError:
		return f.notBegun(cannotSend, err.Err)
	case *call.Cancelled:
		if !err.Begun {
			return f.notBegun("call was not started", err.Cause)
		}
		return f.failure("call was cancelled, reason: "+err.Cause.Error(), err.Cause)
	}
	if err == call.ErrClosed {
		f.NotBegun = true
		return f.failure(err.Error(), err)
	}
	return f.notBegun(cannotStart, err)
}

// ended returns the error of a run whose child has ended, or nil.
func (f facts) ended(end *call.End) error {
	f.End = *end
	return f.explain()
}

// lastWord returns why the child has ended without an answer, if the child has told it.
func (f facts) lastWord() (said string, noAnswer error) {
	if f.Word.Kind == 0 || f.Word.Kind == call.Panicked {
		return "", nil
	}
	var text string
	if err := f.Word.Decode(&text); err != nil {
		text = "what the child says cannot be understood: " + err.Error()
	}
	if f.Word.Kind == call.Refused {
		return text, errRefused
	}
	return text, errLost
}

// hear notes the answer to a call. It decodes a result into what result points to.
func (f *facts) hear(answer *call.Frame, result any) {
	defer answer.Close()
	f.answered = true
	switch answer.Kind {
	case call.Result:
		if result != nil {
			f.decode = answer.Decode(result)
		}
	case call.Panicked:
		f.reply = newPanicError(f.name, answer)
	default: // Failed, Unread or Unserved
		var failure call.Failure
		if err := answer.Decode(&failure); err != nil {
			failure.Message = "an error that cannot be understood: " + err.Error()
		}
		if answer.Kind == call.Failed {
			f.reply = newFuncError(f.name, failure)
			return
		}
		f.NotBegun = answer.Kind == call.Unread
		f.reply = f.failure(failure.Message, append([]error{errors.New(failure.Message)}, failure.Causes()...)...)
	}
}
