package birth

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"example.com/gons/reexec/internal/sys"
	"golang.org/x/sys/unix"
)

// File refers to a namespace by an open file. It keeps a duplicate of the file as long as the program uses the path, or a
// part of it.
func File(f *os.File) (ref Ref, err error) {
	if f == nil {
		return ref, os.ErrInvalid
	}
	self, err := os.Readlink("/proc/self") // not os.Getpid: /proc may belong to another PID namespace
	if err != nil {
		return ref, err
	}
	fd, err := sys.Descriptor(f)
	if err != nil {
		return ref, fmt.Errorf("%s: %w", f.Name(), err)
	}
	kind, err := kindOf(fd)
	if err != nil {
		_ = unix.Close(fd)
		return ref, fmt.Errorf("%s is not a namespace that can be joined: %w", f.Name(), err)
	}
	return Ref{Type: "!" + kind, Path: holding(fmt.Sprintf("/proc/%s/fd/%d", self, fd), fd, f.Name())}, nil
}

// reopen opens a namespace whose path File has made. It returns nil for other paths. A child may lack the right to open it, since
// root owns the files of a process that is not dumpable (proc_pid_fd(5)).
func reopen(path string) *os.File {
	name, held := names.Load(path)
	if !held {
		return nil
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // the child will fail likewise, and tell
	}
	return os.NewFile(uintptr(fd), name.(string))
}

// kindOf asks the kernel for the type of a namespace.
func kindOf(fd int) (string, error) {
	flag, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil {
		return "", err
	}
	if i := slices.Index(cloneFlags, flag); i >= 0 {
		return kinds[i], nil
	}
	return "", fmt.Errorf("unknown type %#x", flag)
}

// names maps each path that File has made to the name of the file, for errors.
var names sync.Map

// holding returns a copy of a path that keeps a descriptor open. The garbage collector closes the descriptor once nothing refers
// to the memory of the copy. name is that of the file.
func holding(path string, fd int, name string) string {
	names.Store(path, name)
	// A string of its own: memory of less than 16 bytes is shared with others.
	b := make([]byte, len(path), len(path)+16)
	copy(b, path)
	runtime.AddCleanup(&b[0], func(fd int) {
		names.Delete(path) // first: the number will be another file's
		_ = unix.Close(fd)
	}, fd)
	return unsafe.String(&b[0], len(b))
}
