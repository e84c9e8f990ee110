package birth

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// self is the PID in the view of /proc, which may be another one than os.Getpid.
func self() (string, error) { return os.Readlink("/proc/self") }

// File refers to a namespace by an open file, of which it keeps a duplicate for as
// long as the path, or a part of it, is in use.
func File(f *os.File) (ref Ref, err error) {
	if f == nil {
		return ref, os.ErrInvalid
	}
	self, err := self()
	if err != nil {
		return ref, err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return ref, fmt.Errorf("%s: %w", f.Name(), err)
	}
	controlErr := conn.Control(func(fd uintptr) {
		var kind string
		if kind, err = kindOf(int(fd)); err != nil {
			err = fmt.Errorf("%s is not a namespace that can be joined: %w", f.Name(), err)
			return
		}
		var duplicate int
		if duplicate, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err != nil {
			err = fmt.Errorf("cannot duplicate %s: %w", f.Name(), err)
			return
		}
		ref = Ref{Type: "!" + kind, Path: holding(fmt.Sprintf("/proc/%s/fd/%d", self, duplicate), duplicate)}
	})
	if controlErr != nil { // there is but one reason, which package os does not name here
		return ref, fmt.Errorf("%s: %w", f.Name(), os.ErrClosed)
	}
	return ref, err
}

// reopen opens a namespace whose path is that of an open file of this process, as those of File are; else it returns
// nil. A child might not be allowed to, since the files of a process that is not dumpable are root's (proc_pid_fd(5)).
func reopen(path string) *os.File {
	if !strings.HasPrefix(path, "/proc/") || !strings.Contains(path, "/fd/") {
		return nil
	}
	if self, err := self(); err != nil || !strings.HasPrefix(path, "/proc/"+self+"/fd/") {
		return nil
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0) // it may be a FIFO
	if err != nil {
		return nil // which the child will tell
	}
	return os.NewFile(uintptr(fd), path)
}

// kindOf asks the kernel for the type of a namespace.
func kindOf(fd int) (string, error) {
	flag, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil {
		return "", err
	}
	for i, known := range flags {
		if flag == known {
			return kinds[i], nil
		}
	}
	return "", fmt.Errorf("unknown type %#x", flag)
}

// holding returns a copy of a path that closes a descriptor when it, with all that
// shares its memory, is garbage.
func holding(path string, fd int) string {
	// A string of its own: memory of less than 16 bytes is shared with others.
	b := make([]byte, len(path), len(path)+16)
	copy(b, path)
	runtime.AddCleanup(&b[0], func(fd int) { _ = unix.Close(fd) }, fd)
	return unsafe.String(&b[0], len(b))
}
