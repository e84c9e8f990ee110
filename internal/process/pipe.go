package process

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"example.com/gons/reexec/internal/pipe"
)

// ErrHeld says why reading from a pipe was given up: it has no end, since a
// descendant of the child still has it open.
var ErrHeld = errors.New("a descendant of the child still holds its pipe")

// A Reader reads what a child writes to a pipe. It serves one goroutine.
//
// A child that has ended cannot write any more, and all that it had written is
// in the pipe: so at most a pipeful is to be had when the time limit has passed,
// and it is to be had at once. This way not even a parent that comes late, on a
// busy machine or without any grace period, misses a byte.
type Reader struct {
	file *os.File
	late int // bytes read since the limit has passed

	limiting    sync.Mutex // guards what follows
	until       time.Time  // limit of all reading, zero: none
	interrupted bool       // until Resume
}

// limit ends all waiting at a point in time.
func (r *Reader) limit(until time.Time) {
	r.limiting.Lock()
	defer r.limiting.Unlock()
	r.until = until
	if !r.interrupted {
		_ = r.file.SetReadDeadline(until)
	}
}

// Interrupt ends the waiting of the goroutine that reads: until Resume it gets what is there, or else
// [os.ErrDeadlineExceeded].
func (r *Reader) Interrupt() {
	r.limiting.Lock()
	defer r.limiting.Unlock()
	r.interrupted = true
	_ = r.file.SetReadDeadline(time.Now())
}

// Resume undoes Interrupt.
func (r *Reader) Resume() {
	r.limiting.Lock()
	defer r.limiting.Unlock()
	r.interrupted = false
	_ = r.file.SetReadDeadline(r.until)
}

// limited tells whether a deadline that has passed was the limit.
func (r *Reader) limited() bool {
	r.limiting.Lock()
	defer r.limiting.Unlock()
	return !r.interrupted && !r.until.IsZero() && !time.Now().Before(r.until)
}

// Read reads. At the limit it is [ErrHeld] if the pipe has still no end.
func (r *Reader) Read(b []byte) (int, error) {
	n, err := r.file.Read(b)
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return n, err
	case r.limited():
		return r.readLate(b)
	}
	now, nowErr := readNow(r.file, b)
	switch {
	case nowErr != nil:
		return 0, err
	case now == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return now, nil
}

// readLate reads what is there, after the limit.
func (r *Reader) readLate(b []byte) (int, error) {
	if r.late >= pipe.Max {
		return 0, ErrHeld
	}
	n, err := readNow(r.file, b)
	r.late += n
	switch {
	case err != nil:
		return n, ErrHeld
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return n, nil
}
