//go:build !plan9

package sys

import "syscall"

// Errors and signals have numbers on all systems but Plan 9, where these stand for what does not occur.
type (
	Errno  = syscall.Errno
	Signal = syscall.Signal
)

const (
	EAGAIN     = syscall.EAGAIN
	ECHILD     = syscall.ECHILD
	ECONNRESET = syscall.ECONNRESET
	EMFILE     = syscall.EMFILE
	ENOMEM     = syscall.ENOMEM
	ENOSPC     = syscall.ENOSPC
	EPIPE      = syscall.EPIPE
	SIGKILL    = syscall.SIGKILL
)
