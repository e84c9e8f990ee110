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
	read func(fd uintptr) // for Now

	waiting attempt               // of the goroutine that is in Read
	wait    func(fd uintptr) bool // for Read

	mu          sync.Mutex // guards what follows
	now         attempt
	until       time.Time // limit of all waiting, zero: none
	interrupted bool      // until Resume
	total       int64     // bytes read
	late        int       // bytes of these since the limit has passed
}

// An attempt is what a function of a Reader works on that is made only once.
type attempt struct {
	b   []byte // what is read into
	n   int    // what that gave
	err error
}

// open gives the reader its pipe.
func (r *Reader) open(pipe *os.File) (err error) {
	r.file = pipe
	r.read = func(fd uintptr) { r.now.n, r.now.err = sys.ReadNow(int(fd), r.now.b) }
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
	r.now.b = b
	controlErr := r.conn.Control(r.read)
	r.now.b = nil
	switch n, err = r.now.n, r.now.err; {
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
// can be in Read.
func (r *Reader) Read(b []byte) (n int, err error) {
	if r.wait == nil {
		r.wait = func(uintptr) bool {
			r.waiting.n, r.waiting.err = r.Now(r.waiting.b)
			return r.waiting.err != sys.EAGAIN
		}
	}
	r.waiting.b = b
	for !r.Poll(r.wait) && !r.wait(0) { // the limit has passed, and there may be more all the same; or it is about to pass
		if r.isInterrupted() {
			return 0, os.ErrDeadlineExceeded
		}
	}
	return r.waiting.n, r.waiting.err
}

func (r *Reader) isInterrupted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.interrupted
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
