package frame

import (
	"os"

	"golang.org/x/sys/unix"
)

// Flags of messages.
const (
	noSignal    = unix.MSG_NOSIGNAL
	closeOnExec = unix.MSG_CMSG_CLOEXEC
)

// maxCause is how many bytes of a context's cause travel. The usual buffer of a socket takes several.
const maxCause = 32 << 10

// isUnread tells whether the other end has not received all.
func isUnread(socket *os.File) (unread bool) {
	conn, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	_ = conn.Control(func(fd uintptr) {
		n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		unread = err == nil && n > 0
	})
	return unread
}
