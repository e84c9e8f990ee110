package child

import (
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
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
	turn   chan struct{} // a lock, held from reading a piece until it has been passed on; a channel, since a writer may block

	mu     sync.Mutex // guards what follows; it is never held while a writer writes
	w      io.Writer  // nil if nothing is to be passed on, any more
	kept   excerpt
	passed int64         // bytes that have been passed on, or dropped
	moved  chan struct{} // closed when passed grows, or nothing is passed on any more; nil if nothing waits for that
	err    error         // why the writer did not take them
}

func newOutput(name string, w io.Writer) *output {
	return &output{name: name, w: w, kept: excerpt{limit: maxKept}, silent: make(chan struct{}), turn: make(chan struct{}, 1)}
}

// listen is the goroutine of an output.
func (o *output) listen() {
	var warnings testsupport.Warnings
	buffer, ended, n, err := make([]byte, 4096), false, 0, error(nil)
	now := func(uintptr) (done bool) { // takes the turn, and reads
		o.turn <- struct{}{}
		n, err = o.pipe.Now(buffer)
		if err == syscall.EAGAIN {
			<-o.turn
		}
		return err != syscall.EAGAIN
	}
	defer func() {
		if !ended { // the writer has ended this goroutine, which ends only the passing on
			o.drop(nil)
			<-o.turn
			go o.listen()
			return
		}
		close(o.silent)
	}()
	for err == nil {
		for !o.pipe.Poll(now) && !now(0) {
			// The limit has passed, and there may be more all the same; or it is about to pass.
		}
		o.pass(warnings.Strip(buffer[:n]))
		if err != nil {
			o.pass(warnings.Rest())
		}
		o.mu.Lock()
		o.passed += int64(n)
		o.wake()
		o.mu.Unlock()
		ended = err != nil
		<-o.turn
	}
}

// pass keeps an excerpt of what the child wrote, and passes it on.
func (o *output) pass(b []byte) {
	if len(b) == 0 {
		return
	}
	o.mu.Lock()
	_, _ = o.kept.Write(b)
	w := o.w
	o.mu.Unlock()
	if w == nil {
		return
	}
	if _, err := w.Write(b); err != nil {
		o.drop(fmt.Errorf("cannot pass on %s of child, reason: %w", o.name, err))
	}
}

// drop ends the passing on.
func (o *output) drop(why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w, o.err = nil, why
	o.wake()
}

// wake wakes up what waits for passed to grow. It needs mu.
func (o *output) wake() {
	if o.moved != nil {
		close(o.moved)
		o.moved = nil
	}
}

// progress is how many bytes have been passed on.
func (o *output) progress() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.passed
}

// heard returns an excerpt, and why it was not passed on.
func (o *output) heard() (excerpt string, relay error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.String(), o.err
}

// catchUp blocks until all that is in the pipe by now has been passed on, or until one of
// the channels is closed.
func (o *output) catchUp(done, left <-chan struct{}) {
	select { // a piece may be between the pipe and the writer
	case o.turn <- struct{}{}:
	case <-o.silent:
		return
	case <-done:
		return
	case <-left:
		return
	}
	written := o.progress() + int64(sys.Unread(o.pipe.file))
	<-o.turn
	for {
		o.mu.Lock()
		if o.passed >= written || o.w == nil {
			o.mu.Unlock()
			return
		}
		if o.moved == nil {
			o.moved = make(chan struct{})
		}
		moved := o.moved
		o.mu.Unlock()
		select {
		case <-moved:
		case <-o.silent:
			return
		case <-done:
			return
		case <-left:
			return
		}
	}
}

// finish blocks until the end of the pipe. Once the caller has left, it does so only as long as the passing on gets on.
func (o *output) finish(left <-chan struct{}) {
	select {
	case <-o.silent:
		return
	case <-left:
	}
	for before, now := int64(-1), o.progress(); now > before; before, now = now, o.progress() {
		select {
		case <-o.silent:
			return
		case <-time.After(moment):
		}
	}
}

// ParentStderr is this process' own stderr as a writer. What cannot be written there tells
// nothing about a child.
type ParentStderr struct{}

// Write writes to [os.Stderr], but never has a broken pipe kill this process, as
// [os.File.Write] would.
func (ParentStderr) Write(b []byte) (int, error) {
	_ = sys.WriteAll(os.Stderr, b)
	return len(b), nil
}
