package sys

import "syscall"

type Errno = syscall.ErrorString

const (
	EAGAIN     = Errno("EAGAIN")
	ECHILD     = Errno("ECHILD")
	ECONNRESET = Errno("ECONNRESET")
	EMFILE     = Errno("EMFILE")
	ENOMEM     = Errno("ENOMEM")
	ENOSPC     = Errno("ENOSPC")
	EPIPE      = Errno("EPIPE")
)
