//go:build !plan9

package sys

import "syscall"

// Errno is a number on all systems but Plan 9, where these errors do not occur.
type Errno = syscall.Errno

const (
	EAGAIN     = syscall.EAGAIN
	ECHILD     = syscall.ECHILD
	ECONNRESET = syscall.ECONNRESET
	EMFILE     = syscall.EMFILE
	ENOMEM     = syscall.ENOMEM
	ENOSPC     = syscall.ENOSPC
	EPIPE      = syscall.EPIPE
)
