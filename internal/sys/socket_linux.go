package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// Flags of messages.
const (
	noSignal    = unix.MSG_NOSIGNAL
	closeOnExec = unix.MSG_CMSG_CLOEXEC
)

// IsUnread tells whether the other end of a socket has not received all that was sent.
func IsUnread(socket *os.File) (unread bool) {
	_ = control(socket, func(fd int) {
		n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		unread = err == nil && n > 0
	})
	return unread
}

// MaxMessage is how many bytes a message has at most. The usual buffer of a socket takes several.
const MaxMessage = 32<<10 + 64
