package call

import (
	"context"
	"errors"
	"os"
	"slices"
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
	early   []Frame // files and cancellations of calls that have not begun
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
	}
	go func() {
		_ = sys.Listen(c.socket, func() error {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.obey()
		}) // any error ends the listening
		c.orphaned()
	}()
	return c
}

// obey obeys the messages that have come, and returns EAGAIN after the last. It needs mu.
func (c *control) obey() error {
	for {
		f, err := receive(c.socket)
		if err != nil {
			return err
		}
		if f.Kind == cancel || f.Kind == closing {
			c.s.signals.decided()
		}
		switch {
		case f.Kind == dump:
			go c.s.stacks(f.call) // the parent may have to read other answers first
		case f.Kind == closing:
		case f.call > c.begun:
			c.early = append(c.early, f)
		case f.Kind == cancel:
			c.cancel(&f)
		default: // files of a call that is over
			f.Close()
		}
	}
}

// cancel ends the context of a call. A context ends by itself at its deadline, so the parent's word only helps where the two
// clocks differ. It needs mu.
func (c *control) cancel(f *Frame) {
	end, running := c.running[f.call]
	var text string
	if !running || f.Decode(&text) != nil { // it is over, or this is no cancellation
		return
	}
	if f.extra != 0 {
		time.AfterFunc(clocks, func() { end(causeOf(text)) })
	} else {
		end(causeOf(text))
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
	// So far this child has had its own stderr open for reading, so no write there could fail. From now on SIGPIPE must not end a
	// function that prints while it cleans up.
	sys.OutliveBrokenPipes()
	sys.CloseDescriptors([]int{c.stderr})
	c.s.signals.decided()
	for _, end := range c.running {
		end(errOrphan)
	}
	time.AfterFunc(c.grace, func() { child.Exit(1) })
}

// begin begins a call, which gets its open files and its context. It does not if the parent has ended.
func (c *control) begin(f *Frame) (ctx context.Context, begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.files > 0 {
		_ = c.obey() // the listener meets the end of the socket, too
	}
	c.begun = f.call
	if !c.orphan {
		ctx = c.context(f)
	}
	c.early = slices.DeleteFunc(c.early, func(m Frame) bool {
		switch {
		case m.call > f.call:
			return false
		case m.Kind == cancel:
			c.cancel(&m)
		case m.call == f.call:
			f.take(&m)
		default: // the parent could not send all of them, and so not the call
			m.Close()
		}
		return true
	})
	f.missing()
	return ctx, !c.orphan
}

// context returns the context of a call that begins. It needs mu.
func (c *control) context(f *Frame) context.Context {
	ctx, free := context.Background(), func() {}
	if !c.s.function.Context {
		return ctx
	}
	if f.extra != 0 {
		ctx, free = context.WithDeadline(ctx, time.Unix(0, f.extra))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c.running[f.call] = func(cause error) {
		cancel(cause)
		free()
	}
	return ctx
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
