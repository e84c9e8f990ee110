package pipe

import (
	"os"

	"golang.org/x/sys/unix"
)

// Grow makes a pipe large enough for so many bytes, as far as the system allows. It only
// serves speed: fewer switches between writer and reader.
func Grow(pipe *os.File, size int) {
	if size > usual {
		control(pipe, func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, min(size, Max)) })
	}
}

// usual is the capacity, in bytes, of a new pipe.
const usual = 64 << 10

// Room is the capacity of a pipe in bytes, less than usual where its user has many of
// them; 0 if it is not known.
func Room(pipe *os.File) (size int) {
	control(pipe, func(fd uintptr) { size, _ = unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0) })
	return max(size, 0)
}

// Unread is the number of bytes in a pipe; 0 if it is not known.
func Unread(pipe *os.File) (n int) {
	control(pipe, func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }) // FIONREAD
	return n
}

func control(pipe *os.File, f func(fd uintptr)) {
	if conn, err := pipe.SyscallConn(); err == nil {
		_ = conn.Control(f)
	}
}
