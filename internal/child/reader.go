package child

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/sys"
)

// ErrHeld says why reading from a pipe was given up: it has no end, since a
// descendant of the child still has it open.
var ErrHeld = errors.New("a descendant of the child still holds its pipe")

// A Reader reads what a child writes to a pipe.
//
// All that a child had written before its end is in the pipe. So when the time limit has passed, at most a pipeful is
// left, and can be read at once. This way even a parent that comes late, on a busy machine or without a grace period,
// misses no byte.
type Reader struct {
	file *os.File
	conn syscall.RawConn
	read func(fd uintptr) // for Now, which allocates nothing

	mu          sync.Mutex // guards what follows
	b           []byte     // what read reads into
	n           int        // what that gave
	err         error
	until       time.Time // limit of all waiting, zero: none
	interrupted bool      // until Resume
	total       int64     // bytes read
	late        int       // bytes of these since the limit has passed
}

// open gives the reader its pipe.
func (r *Reader) open(pipe *os.File) (err error) {
	r.file = pipe
	r.read = func(fd uintptr) { r.n, r.err = sys.ReadNow(int(fd), r.b) }
	r.conn, err = pipe.SyscallConn()
	return err
}

// limit ends all waiting at a point in time. An earlier limit stays, then limit returns false.
func (r *Reader) limit(until time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.until.IsZero() && r.until.Before(until) {
		return false
	}
	r.until = until
	if !r.interrupted {
		_ = r.file.SetReadDeadline(until)
	}
	return true
}

// Interrupt ends the wait of the goroutine that is in Poll, and of each one that comes, until Resume.
func (r *Reader) Interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interrupted = true
	_ = r.file.SetReadDeadline(time.Now())
}

// Resume undoes Interrupt.
func (r *Reader) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interrupted = false
	_ = r.file.SetReadDeadline(r.until)
}

// Poll waits for the pipe, and calls ready whenever there may be something to read, until that returns true. Then Poll
// returns true; at the limit, and after Interrupt, it returns false. Only one goroutine at a time can be in Poll.
func (r *Reader) Poll(ready func(fd uintptr) bool) bool { return r.conn.Read(ready) == nil }

// Now reads what the pipe holds, and never waits. If the pipe is empty, the error is EAGAIN, or after the limit
// [ErrHeld]; at its end it is [io.EOF]. Now is safe for concurrent use.
func (r *Reader) Now(b []byte) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.b = b
	controlErr := r.conn.Control(r.read)
	r.b = nil
	switch n, err = r.n, r.err; {
	case controlErr != nil:
		return 0, controlErr
	case n == 0 && err == nil && len(b) > 0:
		return 0, io.EOF
	}
	r.total += int64(n)
	if r.until.IsZero() || time.Now().Before(r.until) {
		return n, err
	}
	if r.late += n; err == sys.EAGAIN || r.late > sys.MaxPipe {
		return 0, ErrHeld
	}
	return n, err
}

// Read reads, and waits while the pipe is empty, until the limit; then the error is [ErrHeld]. Only one goroutine at a time
// can be in Read, and none interrupts it.
func (r *Reader) Read(b []byte) (n int, err error) {
	ready := func(uintptr) bool {
		n, err = r.Now(b)
		return err != sys.EAGAIN
	}
	for !r.Poll(ready) && !ready(0) { // the limit has passed, and there may be more all the same; or it is about to pass
	}
	return n, err
}

// count returns how many bytes have been read.
func (r *Reader) count() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

// written returns how many bytes have been read, or are in the pipe.
func (r *Reader) written() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total + int64(sys.Unread(r.file))
}
