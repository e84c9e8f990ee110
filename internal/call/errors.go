package call

import (
	"errors"
	"os"
)

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
