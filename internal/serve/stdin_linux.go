package serve

import (
	"os"

	"golang.org/x/sys/unix"
)

// takeStdin returns what stdin was, and leaves an empty stdin to whoever reads
// from there: parameters are not for the function's eyes, nor for those of
// programs that it starts. There may be no /dev/null in these namespaces, so an
// empty pipe does its service.
func takeStdin() (*os.File, error) {
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	// Package os would make this pipe ready for its poller, which takes its time.
	var empty [2]int
	if err := unix.Pipe2(empty[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	err = unix.Dup3(empty[0], 0, 0)
	_ = unix.Close(empty[0])
	_ = unix.Close(empty[1])
	if err != nil {
		return nil, os.NewSyscallError("dup3", err)
	}
	return os.NewFile(uintptr(fd), "parameters"), nil
}
