package call

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// A control is the child's end of the socket, which says what has become of calls, and that the parent
// has ended.
type control struct {
	s      *server
	socket *os.File
	grace  time.Duration
	stderr int // the reading end of this child's stderr

	mu      sync.Mutex // held from receiving a message until it is obeyed; guards what follows
	begun   uint64     // the last call that has begun; they come in order
	running map[uint64]context.CancelCauseFunc
	told    map[uint64]error  // cancellations of calls that have not begun
	files   map[uint64]*frame // open files of calls that have not begun
	orphan  bool
}

// errOrphan is the cause of contexts that end with the parent.
var errOrphan = errors.New("parent process has ended")

func newControl(s *server, o child.Orders) *control {
	c := &control{
		s:       s,
		socket:  sys.OwnFile(o.Control, "control"),
		grace:   o.Grace,
		stderr:  o.Stderr,
		running: map[uint64]context.CancelCauseFunc{},
		told:    map[uint64]error{},
		files:   map[uint64]*frame{},
	}
	go c.listen()
	return c
}

// listen is the goroutine that waits for the parent's messages, and for its end.
func (c *control) listen() {
	_ = sys.Listen(c.socket, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.obey()
	}) // whatever ends it: there is nothing to listen to any more
	c.orphaned()
}

// obey obeys the messages that have come, and returns EAGAIN after the last. It needs mu.
func (c *control) obey() error {
	for {
		f, err := receive(c.socket)
		if err != nil {
			return err
		}
		switch f.kind {
		case dump:
			go c.s.stacks(f.call) // the parent may have to read other answers first
		case closing:
			c.s.signals.decided()
		case cancel:
			c.cancel(&f)
		case files:
			if f.call <= c.begun { // it is over
				f.close()
			} else if early := c.files[f.call]; early != nil {
				early.take(&f)
			} else {
				c.files[f.call] = &f
			}
		}
	}
}

// cancel ends the context of a call. At its deadline a context ends by itself, but for the difference of two clocks. It needs mu.
func (c *control) cancel(f *frame) {
	var text string
	if err := f.decode(&text); err != nil {
		return // what makes no sense is no cancellation
	}
	c.s.signals.decided()
	cause := causeOf(text)
	end, running := c.running[f.call]
	switch {
	case running && f.extra != 0:
		time.AfterFunc(clocks, func() { end(cause) })
	case running:
		end(cause)
	case f.call > c.begun:
		c.told[f.call] = cause
	}
}

// clocks is how much later than the parent's the child's clock may be.
const clocks = 20 * time.Millisecond

// causeOf returns the cause of a context's end: one that is the same on both sides, if its text says so.
func causeOf(text string) error {
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if cause.Error() == text {
			return cause
		}
	}
	return errors.New(text)
}

// orphaned gives the calls that are being served the grace period, since the parent has ended. No others begin.
func (c *control) orphaned() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.orphan {
		return
	}
	c.orphan = true
	// What a function says while it cleans up must not end it; so far this child could have read it.
	sys.OutliveBrokenPipes()
	sys.CloseDescriptors([]int{c.stderr})
	c.s.signals.decided()
	for _, end := range c.running {
		end(errOrphan)
	}
	time.AfterFunc(c.grace, func() { child.Exit(1) })
}

// begin begins a call, which gets its open files and its context. It does not if the parent has ended.
func (c *control) begin(f *frame) (ctx context.Context, begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.files > 0 {
		_ = c.obey() // at the end of the socket listen ends, too
	}
	c.begun = f.call
	for call, early := range c.files {
		if call == f.call {
			f.take(early)
		} else if call < f.call { // the parent could not send all of them, and so not the call
			early.close()
		}
		if call <= f.call {
			delete(c.files, call)
		}
	}
	if len(f.open) != int(f.files) && f.lost == nil {
		f.lost = errMissing
	}
	if f.lost != nil {
		f.lost = lost(f.lost)
	}
	told := c.told[f.call]
	delete(c.told, f.call)
	if c.orphan {
		return nil, false
	}
	ctx, free := context.Background(), func() {}
	if !c.s.function.Context {
		return ctx, true
	}
	if f.extra != 0 {
		ctx, free = context.WithDeadline(ctx, time.Unix(0, f.extra))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	end := func(cause error) {
		cancel(cause)
		free()
	}
	c.running[f.call] = end
	if told != nil {
		end(told)
	}
	return ctx, true
}

// end ends a call, and with it its context.
func (c *control) end(call uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if end, running := c.running[call]; running {
		delete(c.running, call)
		end(context.Canceled)
	}
}
