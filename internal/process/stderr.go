package process

import (
	"io"
	"os"
	"sync"

	"example.com/gons/reexec/internal/pipe"
	"example.com/gons/reexec/internal/testsupport"
)

// A listener reads a child's stderr to its end, keeps an excerpt of it, and passes it on
// to a writer, if there is one.
type listener struct {
	pipe   Reader
	silent chan struct{} // closed after the end of stderr

	mu     sync.Mutex // guards what follows
	w      io.Writer  // nil if nothing is to be passed on, any more
	kept   excerpt
	taken  int64         // bytes that have left the pipe
	passed int64         // of these, bytes that have been passed on, or dropped
	moved  chan struct{} // closed when passed grows, or nothing is passed on any more; nil if nobody waits for that
	err    error         // why the writer did not take them
}

func (l *listener) init(w io.Writer) {
	l.silent = make(chan struct{})
	l.w = w
	l.kept.limit = maxKept
}

// listen is the goroutine of a listener.
func (l *listener) listen() {
	l.mu.Lock()
	w := l.w
	l.mu.Unlock()
	var warnings testsupport.Warnings
	returned := false
	defer func() {
		// A writer that ends this goroutine ends only the passing on.
		if !returned {
			l.drop(nil)
			go l.listen()
			return
		}
		l.pass(w, warnings.Rest())
		close(l.silent)
	}()
	buffer := make([]byte, 4096)
	for {
		n, err := l.read(buffer)
		l.pass(w, warnings.Strip(buffer[:n]))
		l.mu.Lock()
		l.passed += int64(n)
		l.wake()
		l.mu.Unlock()
		if err != nil {
			returned = true
			return
		}
	}
}

// read reads from the pipe and counts what it has taken out of it, both at once for
// whoever holds the lock.
func (l *listener) read(b []byte) (n int, err error) {
	n, err = readLocked(l.pipe.file, b, &l.mu, &l.taken)
	if err != nil && os.IsTimeout(err) {
		n, err = l.pipe.readLate(b)
	}
	return n, err
}

// pass keeps an excerpt of what the child wrote, and passes it on.
func (l *listener) pass(w io.Writer, b []byte) {
	if len(b) == 0 {
		return
	}
	l.mu.Lock()
	_, _ = l.kept.Write(b)
	passing := l.w != nil
	l.mu.Unlock()
	if !passing {
		return
	}
	if _, err := w.Write(b); err != nil {
		l.drop(err)
	}
}

// drop ends the passing on.
func (l *listener) drop(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w, l.err = nil, why
	l.wake()
}

// wake wakes up who waits for passed to grow. It needs mu.
func (l *listener) wake() {
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
}

// progress is how many bytes have been passed on.
func (l *listener) progress() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passed
}

// heard returns an excerpt of stderr, and why it was not passed on. Then nothing more is.
func (l *listener) heard() (excerpt string, relay error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w = nil
	return l.kept.String(), l.err
}

// catchUp blocks until all that is in the pipe by now has been passed on, or until one of
// the channels is closed.
func (l *listener) catchUp(done, aborted <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	written := l.taken + int64(pipe.Unread(l.pipe.file))
	for l.passed < written && l.w != nil {
		if l.moved == nil {
			l.moved = make(chan struct{})
		}
		moved := l.moved
		l.mu.Unlock()
		select {
		case <-moved:
		case <-l.silent:
			written = 0
		case <-done:
			written = 0
		case <-aborted:
			written = 0
		}
		l.mu.Lock()
	}
}

// ParentStderr is this process' own stderr as a writer. What cannot be written there tells
// nothing about a child.
type ParentStderr struct{}

// Write writes to [os.Stderr], but never has a broken pipe kill this process, as
// [os.File.Write] would.
func (ParentStderr) Write(b []byte) (int, error) {
	writeQuietly(os.Stderr, b)
	return len(b), nil
}
