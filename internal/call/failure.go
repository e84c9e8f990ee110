package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// A Failure is what travels of an error.
type Failure struct {
	Message            string      // its text, shortened in the middle when long
	Errnos             []sys.Errno // all that are in its chain, in the order in which errors.As finds them
	Known              []int       // which of the known errors are in its chain
	Foreign            []int       // which of the foreign ones are
	Timeout, Temporary bool        // what its methods say
}

// known are errors that are the same on both sides: those that these packages declare as of Go 1.25, and behind them those
// of RegisterErrors.
var known = []error{
	context.DeadlineExceeded, context.Canceled,
	os.ErrInvalid, os.ErrPermission, os.ErrExist, os.ErrNotExist, os.ErrClosed, os.ErrNoDeadline, os.ErrDeadlineExceeded, os.ErrProcessDone,
	errors.ErrUnsupported,
	io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, io.ErrNoProgress, io.ErrShortBuffer, io.ErrShortWrite,
	fs.SkipDir, fs.SkipAll,
	exec.ErrNotFound, exec.ErrDot, exec.ErrWaitDelay,
}

// RegisterErrors adds errors to those that are the same on both sides. It is for package initialisers.
func RegisterErrors(errs []error) { known = append(known, errs...) }

// foreign are errors of package net, which programs that do not use it need not contain, and those that Go 1.25 lacks.
var foreign = []string{
	"poll.errNetClosing: use of closed network connection",              // net.ErrClosed
	"*errors.errorString: use of WriteTo with pre-connected connection", // net.ErrWriteToConnected
	"*errors.errorString: os: process handle unavailable",               // os.ErrNoHandle
}

// typeAndText returns what tells a foreign error.
func typeAndText(err error) string { return fmt.Sprintf("%T: %v", err, err) }

const maxText = 64 << 10 // bytes that travel of a text

// shorten shortens a long text in the middle.
func shorten(text string) string { return child.Excerpt(text, maxText/2) }

// newFailure keeps of an error what is understood elsewhere.
func newFailure(err error) *Failure {
	f := &Failure{Message: shorten(err.Error())}
	f.walk(err)
	for i, known := range known {
		implied := func(errno sys.Errno) bool { return errno.Is(known) }
		if errors.Is(err, known) && !slices.ContainsFunc(f.Errnos, implied) {
			f.Known = append(f.Known, i)
		}
	}
	var timeout interface{ Timeout() bool }
	f.Timeout = errors.As(err, &timeout) && timeout.Timeout()
	var temporary interface{ Temporary() bool }
	f.Temporary = errors.As(err, &temporary) && temporary.Temporary()
	return f
}

// walk finds each errno, and what is foreign, in the tree of an error.
func (f *Failure) walk(err error) {
	errno, found := err.(sys.Errno)
	if as, ok := err.(interface{ As(any) bool }); ok && !found {
		found = as.As(&errno)
	}
	if found && !slices.Contains(f.Errnos, errno) {
		f.Errnos = append(f.Errnos, errno)
	}
	if i := slices.Index(foreign, typeAndText(err)); i >= 0 && !slices.Contains(f.Foreign, i) {
		f.Foreign = append(f.Foreign, i)
	}
	switch wrapper := err.(type) {
	case interface{ Unwrap() error }:
		if inner := wrapper.Unwrap(); inner != nil {
			f.walk(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			f.walk(inner)
		}
	}
}

// Causes are what [errors.Is] finds, but for what is foreign.
func (f *Failure) Causes() (causes []error) {
	for _, errno := range f.Errnos {
		causes = append(causes, errno)
	}
	for _, i := range f.Known {
		if i >= 0 && i < len(known) { // a child may say anything
			causes = append(causes, known[i])
		}
	}
	return causes
}

// Is tells whether an error is a foreign one that was in the chain.
func (f *Failure) Is(target error) bool {
	i := slices.Index(foreign, typeAndText(target))
	return i >= 0 && slices.Contains(f.Foreign, i)
}

// A Panic is a panic of a function, or the end of its goroutine.
type Panic struct {
	Value string
	Stack []byte
}
