package serve

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/orders"
	"example.com/gons/reexec/internal/testsupport"
)

// A control is the socket to the parent, which says what has become of calls, and that the parent
// has ended. Without a socket, as on Windows, there is only the end of the child.
type control struct {
	socket *os.File
	grace  time.Duration

	contexts bool // calls have contexts that can be ended

	mu      sync.Mutex
	begun   uint64 // the last call that has begun, or has been withdrawn; they come in order
	running map[uint64]*callContext
	told    map[uint64]frame.Message // what has been said of calls that have not begun
	files   map[uint64]received      // of parameters that have not been read
	orphan  bool
}

// A received is what has come of the files of a parameter.
type received struct {
	descriptors []int
	lost        error // why some could not be received
}

// errOrphan is the cause of contexts that end with the parent.
var errOrphan = errors.New("parent process has ended")

func newControl(o orders.Orders, contexts bool) *control {
	c := &control{
		grace:    o.Grace,
		contexts: contexts,
		running:  map[uint64]*callContext{},
		told:     map[uint64]frame.Message{},
		files:    map[uint64]received{},
	}
	if o.Control != 0 {
		c.socket = socket(o.Control)
		go c.listen()
	}
	return c
}

// listen is the goroutine that waits for the parent's messages, and for its end.
func (c *control) listen() {
	_ = frame.Listen(c.socket, &c.mu, c.obey) // whatever ends it: there is nobody to listen to any more
	c.orphaned()
}

// orphaned grants the calls that are being served the grace period, since the parent has ended. No others begin.
func (c *control) orphaned() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.orphan {
		return
	}
	c.orphan = true
	outliveStderr() // which may have been a pipe to the parent: what a function says while it cleans up must not end it
	for _, ctx := range c.running {
		ctx.end(context.Canceled, errOrphan)
	}
	time.AfterFunc(c.grace, func() { testsupport.Exit(1) })
}

// obey does what a message says. It needs mu.
func (c *control) obey(m frame.Message) {
	switch ctx := c.running[m.Call]; {
	case m.Cancel && ctx != nil:
		ctx.end(m.ContextErr())
	case m.Call <= c.begun: // it is over
		frame.CloseAll(m.Files)
	case m.Cancel || m.Withdraw:
		c.told[m.Call] = m
	default:
		r := c.files[m.Call]
		r.descriptors = append(r.descriptors, m.Files...)
		if m.Lost != nil {
			r.lost = m.Lost
		}
		c.files[m.Call] = r
	}
}

// drain obeys all messages that have been sent already.
func (c *control) drain() {
	for {
		m, err := frame.Receive(c.socket)
		if err != nil {
			return
		}
		c.obey(m)
	}
}

// begin begins a call, which gets its files. It does not if the call has been withdrawn while others
// came first, or the parent has ended.
func (c *control) begin(param *frame.Frame) (ctx context.Context, begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket != nil && (param.Queued || param.Files > 0) {
		c.drain()
	}
	c.begun = param.Call
	for call, files := range c.files {
		if call < param.Call { // the parent could not send all of them, and so not the call
			frame.CloseAll(files.descriptors)
			delete(c.files, call)
		}
	}
	told := c.told[param.Call]
	delete(c.told, param.Call)
	if param.Files > 0 {
		files := c.files[param.Call]
		delete(c.files, param.Call)
		param.Receive(files.descriptors, files.lost)
	}
	if told.Withdraw || c.orphan {
		return nil, false
	}
	if !c.contexts {
		return context.Background(), true
	}
	running := newContext(param.Deadline)
	c.running[param.Call] = running
	if told.Cancel {
		running.end(told.ContextErr())
	}
	return running, true
}

// end ends a call, and with it its context.
func (c *control) end(call uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx := c.running[call]; ctx != nil {
		delete(c.running, call)
		ctx.end(context.Canceled, context.Canceled)
	}
}

// sendFiles sends files to the parent.
func (c *control) sendFiles(call uint64, descriptors []int) error {
	if c.socket == nil {
		frame.CloseAll(descriptors)
		return errors.ErrUnsupported
	}
	return frame.SendFiles(c.socket, call, descriptors, true) // its parent may be slow
}
