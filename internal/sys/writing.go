package sys

import (
	"errors"
	"os"
	"slices"
	"sync"
	"syscall"
)

// A Writing writes parts to a pipe. It reads their memory until all is written, or Detach has been called. Then it can be
// used again.
type Writing struct {
	conn syscall.RawConn
	now  func(fd uintptr) // writes; made once

	mu    sync.Mutex // guards what follows, but never while Wait waits
	parts [][]byte   // what is left; the slice is ours
	err   error      // why no more can be written
}

// Init sets the pipe and the parts. It writes nothing yet.
func (w *Writing) Init(pipe syscall.RawConn, parts [][]byte) {
	if w.now == nil {
		w.now = func(fd uintptr) { w.write(int(fd)) }
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn, w.parts, w.err = pipe, append(w.parts[:0], parts...), nil
}

// Now writes as much as the pipe takes at once, and tells whether that is all. If the pipe is blocking, it is all.
func (w *Writing) Now() (all bool) {
	_ = w.conn.Control(w.now) // Wait meets the error again
	return w.Done()
}

// write writes what the pipe takes, and returns true if there is nothing left to be written.
func (w *Writing) write(fd int) (done bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.parts) > 0 {
		n, err := WriteNow(fd, w.parts)
		for len(w.parts) > 0 && n >= len(w.parts[0]) {
			n -= len(w.parts[0])
			w.parts = slices.Delete(w.parts, 0, 1) // the slice keeps its room
		}
		if n > 0 {
			w.parts[0] = w.parts[0][n:]
		}
		if err != nil {
			w.err = err
			return err != EAGAIN
		}
	}
	w.err = nil
	return true
}

// ErrUnread is the error of a Writing whose reader has ended. It wraps EPIPE. Made by package fmt it would cost each child 20 µs of its start.
var ErrUnread error = &os.SyscallError{Syscall: "child did not read it to its end", Err: EPIPE}

// Done tells whether all has been written.
func (w *Writing) Done() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.parts) == 0
}

// Wait writes what is left, and blocks until that is done, or the reader has ended.
func (w *Writing) Wait() error {
	if w.Done() {
		return nil
	}
	err := w.conn.Write(func(fd uintptr) (done bool) { return w.write(int(fd)) })
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		err = w.err
	}
	if errors.Is(err, EPIPE) || errors.Is(err, os.ErrDeadlineExceeded) {
		err = ErrUnread // which of both it is, is a matter of time after the reader's end
	}
	return err
}

// Detach copies what is left, so that the caller may change its memory.
func (w *Writing) Detach() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, part := range w.parts {
		w.parts[i] = slices.Clone(part)
	}
}
