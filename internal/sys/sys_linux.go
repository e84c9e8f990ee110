package sys

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// MaxMessage is how many bytes a message has at most. The usual buffer of a socket takes several.
const MaxMessage = 32<<10 + 64

// Flags of messages.
const (
	noSignal    = unix.MSG_NOSIGNAL
	closeOnExec = unix.MSG_CMSG_CLOEXEC
)

// NameSenders makes the kernel tell who has sent each message that a socket receives (SO_PASSCRED, unix(7)).
func NameSenders(socket *os.File) (err error) {
	controlErr := control(socket, func(fd int) { err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	return errors.Join(controlErr, os.NewSyscallError("setsockopt", err))
}

// senderIn returns the PID of the sender, if that is what a control message tells, or 0.
func senderIn(message *unix.SocketControlMessage) int {
	credentials, err := unix.ParseUnixCredentials(message)
	if err != nil {
		return 0
	}
	return int(credentials.Pid)
}

// GrowPipe makes a pipe large enough for so many bytes, as far as the system allows. It only
// serves speed: fewer switches between writer and reader.
func GrowPipe(pipe *os.File, size int) {
	if size > usualPipe {
		_ = control(pipe, func(fd int) { _, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, min(size, MaxPipe)) })
	}
}

// Unread returns the number of bytes in a pipe, of which either end is given; 0 if it is not known.
func Unread(pipe *os.File) (n int) {
	_ = control(pipe, func(fd int) { n, _ = unix.IoctlGetInt(fd, unix.TIOCINQ) }) // FIONREAD
	return n
}

// IsUnread tells whether the other end of a socket has not received all that was sent.
func IsUnread(socket *os.File) (unread bool) {
	_ = control(socket, func(fd int) {
		n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		unread = err == nil && n > 0
	})
	return unread
}

// writev writes several parts at once.
func writev(fd int, parts [][]byte) (n int, err error) { return unix.Writev(fd, parts) }

// TakeStdin returns what stdin was, and leaves an empty stdin to all that reads from there. There may be no /dev/null, so an
// empty pipe takes its place.
func TakeStdin() (*os.File, error) {
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, high)
	if err != nil { // RLIMIT_NOFILE does not allow that
		fd, err = unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	}
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	// Package os would make this pipe ready for its poller, which takes its time.
	var empty [2]int
	if err := unix.Pipe2(empty[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	err = unix.Dup3(empty[0], 0, 0)
	CloseDescriptors(empty[:])
	if err != nil {
		return nil, os.NewSyscallError("dup3", err)
	}
	return os.NewFile(uintptr(fd), "parameters"), nil
}
