package child

import (
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"example.com/gons/reexec/internal/sys"
	"example.com/gons/reexec/internal/testsupport"
)

// An output reads a child's stderr, or stdout, to its end, keeps an excerpt of it, and passes it on
// to a writer, if there is one.
type output struct {
	name   string
	pipe   Reader
	silent chan struct{} // closed after the end of the pipe

	mu     sync.Mutex // guards what follows; it is never held while a writer writes
	w      io.Writer  // nil if nothing is passed on, or nothing more
	err    error      // why the writer did not take it
	kept   excerpt
	action string        // of the child, if this is its stderr
	passed int64         // bytes of the pipe that have been passed on, or dropped
	moved  chan struct{} // closed when passed grows; nil if nothing waits for that
}

func (o *output) init(name string, w io.Writer) *output {
	o.name, o.w, o.kept.limit, o.silent = name, w, maxKept, make(chan struct{})
	return o
}

// listen is the goroutine of an output.
func (o *output) listen() {
	var err error
	defer func() {
		if err == nil { // the writer has ended this goroutine, which ends only the passing on
			o.drop(nil)
			go o.listen()
			return
		}
		close(o.silent)
	}()
	buffer := make([]byte, testsupport.PartSize())
	for err == nil {
		o.advance()
		var n int
		n, err = o.pipe.Read(buffer)
		said := testsupport.Strip(buffer[:n])
		if o.action != "" {
			testsupport.Hear(o.action, said)
		}
		o.pass(said)
	}
}

// advance notes that all that has been read has been passed on.
func (o *output) advance() {
	read := o.pipe.count()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.passed = read
	if o.moved != nil {
		close(o.moved)
		o.moved = nil
	}
}

// pass keeps an excerpt of what the child wrote, and passes it on.
func (o *output) pass(b []byte) {
	o.mu.Lock()
	_, _ = o.kept.Write(b)
	w := o.w
	o.mu.Unlock()
	if len(b) == 0 || w == nil {
		return
	}
	if _, err := w.Write(b); err != nil {
		o.drop(fmt.Errorf("cannot pass on %s of child, reason: %w", o.name, err))
	}
}

// drop ends the passing on, also while a writer blocks. The first reason counts.
func (o *output) drop(why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w = nil
	if o.err == nil {
		o.err = why
	}
}

// failed returns why the output was not passed on, or nil.
func (o *output) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// excerpt returns what is kept.
func (o *output) excerpt() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.String()
}

// catchUp blocks until all that is in the pipe by now has been passed on, or until one of the channels is closed. With
// patience it blocks only as long as the passing on goes on.
func (o *output) catchUp(patience time.Duration, done, left <-chan struct{}) {
	o.await(o.pipe.written(), patience, done, left)
}

// finish blocks until the end of the pipe. Once the caller has left, it does so only as long as the passing on goes on.
func (o *output) finish(left <-chan struct{}) {
	select {
	case <-o.silent:
	case <-left:
		o.await(math.MaxInt64, moment, nil, nil)
	}
}

// await blocks until so many bytes have been passed on, or the output has ended; until one of the channels is closed; or,
// unless patience is 0, until nothing has been passed on for as long.
func (o *output) await(bytes int64, patience time.Duration, done, left <-chan struct{}) {
	for {
		o.mu.Lock()
		if o.passed >= bytes {
			o.mu.Unlock()
			return
		}
		if o.moved == nil {
			o.moved = make(chan struct{})
		}
		moved := o.moved
		o.mu.Unlock()
		var overdue <-chan time.Time
		if patience > 0 {
			overdue = time.After(patience)
		}
		select {
		case <-moved:
			continue
		case <-o.silent:
		case <-done:
		case <-left:
		case <-overdue:
		}
		return
	}
}

// ParentStderr writes to this process' own stderr. That it cannot is no error, as it says nothing about the child.
type ParentStderr struct{}

// Write writes to [os.Stderr]. A broken pipe does not kill this process, as it does with [os.File.Write].
func (ParentStderr) Write(b []byte) (int, error) {
	_ = sys.WriteAll(os.Stderr, b)
	return len(b), nil
}
