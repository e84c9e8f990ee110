package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

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
