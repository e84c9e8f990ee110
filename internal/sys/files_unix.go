//go:build unix && !aix

package sys

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Pipe is [os.Pipe] with two guarantees. The Go runtime can poll both ends, so that deadlines hold; it cannot where
// fs.epoll.max_user_watches is exhausted. And no end is a standard stream, even if the program has closed its own: the
// runtime raises SIGPIPE when the reader of descriptor 1 or 2 is gone (package os/signal).
func Pipe() (r, w *os.File, err error) {
	if r, w, err = os.Pipe(); err != nil {
		return nil, nil, err
	}
	if IsStandard(w) {
		defer w.Close()
		w, err = Duplicate(w)
	}
	if err == nil {
		err = mustBePolled(r, w)
	}
	if err != nil {
		CloseAll(r, w)
		return nil, nil, err
	}
	return r, w, nil
}

func mustBePolled(files ...*os.File) error {
	for _, f := range files {
		if err := f.SetDeadline(time.Time{}); err != nil {
			return fmt.Errorf("cannot poll a pipe or socket, is fs.epoll.max_user_watches exhausted? %w", err)
		}
	}
	return nil
}

// Duplicate returns an open file of its own for that of f, close-on-exec, of the same name, and no standard stream.
func Duplicate(f *os.File) (*os.File, error) {
	fd, err := Descriptor(f)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// Descriptor returns another descriptor of an open file, close-on-exec. It is higher than those of the standard streams.
func Descriptor(f *os.File) (fd int, err error) {
	controlErr := control(f, func(number int) { fd, err = unix.FcntlInt(uintptr(number), unix.F_DUPFD_CLOEXEC, 3) })
	if controlErr != nil {
		return -1, os.ErrClosed // the only reason, which package os does not always name
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// ReadNow reads from a descriptor that is non-blocking. It returns 0 and no error at end of file, and EAGAIN if there is
// nothing to be read yet.
func ReadNow(fd int, b []byte) (n int, err error) {
	return uninterrupted(func() (int, error) { return syscall.Read(fd, b) })
}

// WriteNow writes to a descriptor that is non-blocking, as much as it takes. It returns EAGAIN if it takes nothing.
func WriteNow(fd int, parts [][]byte) (n int, err error) {
	if len(parts) == 1 {
		return uninterrupted(func() (int, error) { return syscall.Write(fd, parts[0]) })
	}
	return uninterrupted(func() (int, error) { return writev(fd, parts) })
}

func uninterrupted(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// WriteAll writes all bytes to a file, and waits for room, also where others have made the file non-blocking. A
// reader that is gone is an error, and never a signal that ends this process, as it can be with [os.File.Write]. Other
// goroutines may write to the file meanwhile.
func WriteAll(f *os.File, b []byte) (err error) {
	controlErr := control(f, func(fd int) {
		for len(b) > 0 {
			var n int
			n, err = uninterrupted(func() (int, error) { return syscall.Write(fd, b) })
			b = b[n:]
			if err == syscall.EAGAIN {
				room := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
				_, err = uninterrupted(func() (int, error) { return unix.Poll(room, -1) })
			}
			if err != nil {
				return
			}
		}
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}

// OwnFile returns the open file of a descriptor that this process was given, so that the runtime polls it.
func OwnFile(fd int, name string) *os.File {
	_ = syscall.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), name)
}

// CloseOnExec keeps a descriptor from the programs that this process starts.
func CloseOnExec(fd int) { syscall.CloseOnExec(fd) }

// high is where descriptors are out of the way of code that closes, or reuses, the first ones. It is below 64: a table of
// more makes the kernel wait for all processors.
const high = 48

// Raise returns a duplicate of a descriptor, close-on-exec, with a high number. Without room it returns fd.
func Raise(fd int) int {
	duplicate, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, high)
	if err != nil {
		return fd
	}
	return duplicate
}

// GroupSignals are those that a terminal, or a service manager, sends to a whole process group to end it.
var GroupSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}

// EndedBy returns the signal that has ended a process, or 0.
func EndedBy(state *os.ProcessState) syscall.Signal {
	if state != nil {
		if how, ok := state.Sys().(syscall.WaitStatus); ok && how.Signaled() {
			return how.Signal()
		}
	}
	return 0
}

// SignalSelf sends this process a signal.
func SignalSelf(s os.Signal) { _ = syscall.Kill(os.Getpid(), s.(syscall.Signal)) }

// OutliveBrokenPipes makes a write to a pipe without reader an error in this process, but not in the programs that it starts.
func OutliveBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
