package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// TakeStdin returns what stdin was, and leaves an empty stdin to all that reads from there. There may be no /dev/null, so an
// empty pipe does its service.
func TakeStdin() (*os.File, error) {
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, high)
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
