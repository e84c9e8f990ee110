package sys

import "syscall"

type Errno uintptr

func (e Errno) Error() string   { return "no such error on Plan 9" }
func (e Errno) Is(error) bool   { return false }
func (e Errno) Timeout() bool   { return false }
func (e Errno) Temporary() bool { return false }

type Signal = syscall.Note

const (
	EAGAIN Errno = iota + 1
	ECHILD
	ECONNRESET
	EMFILE
	ENOMEM
	ENOSPC
	EPIPE

	SIGKILL = syscall.Note("kill")
)
