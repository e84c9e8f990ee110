//go:build unix && !aix

package process

import (
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mustBePolled returns an error if the runtime cannot poll a pipe, as where
// fs.epoll.max_user_watches is exhausted: it would block, and know no deadlines.
func mustBePolled(pipe *os.File) error {
	if err := pipe.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("cannot poll a pipe, is fs.epoll.max_user_watches exhausted? %w", err)
	}
	return nil
}

// makePipe is [os.Pipe], but for a program that has closed its stdout or stderr: a pipe in their place
// would have the runtime raise SIGPIPE when its reader is gone (package os/signal).
func makePipe() (r, w *os.File, err error) {
	if r, w, err = os.Pipe(); err != nil {
		return nil, nil, err
	}
	var fd uintptr
	conn, err := w.SyscallConn()
	if err == nil {
		err = conn.Control(func(number uintptr) { fd = number })
	}
	if err == nil && fd <= 2 {
		old := w
		var above int
		if above, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3); err == nil {
			w = os.NewFile(uintptr(above), "|1")
		}
		_ = old.Close()
	}
	if err != nil {
		closeAll([]*os.File{r, w})
		return nil, nil, err
	}
	return r, w, nil
}

// readNow reads what is in a pipe, even after its deadline; it never waits. At
// end of file it returns 0, and an error if the pipe is empty but still open.
func readNow(pipe *os.File, b []byte) (n int, err error) {
	return now(pipe, b, syscall.Read)
}

// writeNow writes as much as fits into a pipe; it never waits.
func writeNow(pipe *os.File, b []byte) (n int, err error) {
	return now(pipe, b, syscall.Write)
}

// now makes a system call with the descriptor of a pipe, which [os.Pipe] has
// made non-blocking.
func now(pipe *os.File, b []byte, call func(fd int, b []byte) (int, error)) (n int, err error) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := conn.Control(func(fd uintptr) { n, err = uninterrupted(int(fd), b, call) })
	if controlErr != nil {
		return 0, controlErr
	}
	return n, err
}

func uninterrupted(fd int, b []byte, call func(fd int, b []byte) (int, error)) (n int, err error) {
	for {
		if n, err = call(fd, b); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// readLocked reads from a pipe, and adds to taken what it has got, under a lock.
func readLocked(pipe *os.File, b []byte, lock sync.Locker, taken *int64) (n int, err error) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	readErr := conn.Read(func(fd uintptr) (done bool) {
		lock.Lock()
		defer lock.Unlock()
		n, err = uninterrupted(int(fd), b, syscall.Read)
		*taken += int64(n)
		return err != syscall.EAGAIN
	})
	switch {
	case readErr != nil:
		return 0, readErr
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return n, err
}

// writeQuietly writes to a file as far as that is possible.
func writeQuietly(f *os.File, b []byte) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Write(func(fd uintptr) (done bool) {
		for len(b) > 0 {
			n, err := uninterrupted(int(fd), b, syscall.Write)
			b = b[n:]
			if err != nil {
				return err != syscall.EAGAIN
			}
		}
		return true
	})
}
