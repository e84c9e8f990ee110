package frame

import "golang.org/x/sys/unix"

// Flags of messages.
const (
	noSignal    = unix.MSG_NOSIGNAL
	closeOnExec = unix.MSG_CMSG_CLOEXEC
)
