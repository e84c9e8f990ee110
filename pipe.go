package reexec

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// errHeld says why reading from a pipe was given up: it has no end, since a
// descendant of the child still has it open.
var errHeld = errors.New("a descendant of the child still holds its pipe")

// maxPipe is the largest capacity, in bytes, of a pipe of an ordinary process
// (pipe(7)), and so the most that a child can leave behind in one at its end.
const maxPipe = 1 << 20

// The pipes of a run are the parent's ends. Each of them serves one goroutine;
// limiting and closing them is for any goroutine.
type pipes struct {
	stdin  *os.File // parameters; nil if there are none
	answer reader   // stdout, or whatever the answers come from
	stderr reader

	limiting sync.Mutex
	until    time.Time // limit of their use, zero: none; guarded by limiting
}

// limit ends all waiting on the pipes at a point in time, unless it ends earlier
// already.
func (p *pipes) limit(until time.Time) {
	p.limiting.Lock()
	defer p.limiting.Unlock()
	if !p.until.IsZero() && p.until.Before(until) {
		return
	}
	p.until = until
	// Where the system has no deadlines for pipes, they last until their end.
	if p.stdin != nil {
		_ = p.stdin.SetDeadline(until)
	}
	_ = p.answer.file.SetDeadline(until)
	_ = p.stderr.file.SetDeadline(until)
}

// close closes those ends that are still open.
func (p *pipes) close() {
	if p.stdin != nil {
		_ = p.stdin.Close()
	}
	_ = p.answer.file.Close()
	_ = p.stderr.file.Close()
}

// A reader reads what a child writes to a pipe.
//
// A child that has ended cannot write any more, and all that it had written is
// in the pipe: so at most a pipeful is to be had when the time limit has passed,
// and it is to be had at once. This way not even a parent that comes late, on a
// busy machine or without any grace period, misses a byte.
type reader struct {
	file *os.File
	late int // bytes read since the limit has passed
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.file.Read(b)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	if r.late >= maxPipe {
		return 0, errHeld
	}
	n, err = readNow(r.file, b)
	r.late += n
	switch {
	case err != nil:
		return n, errHeld
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return n, nil
}
