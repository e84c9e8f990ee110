package call

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

var (
	errDone = errors.New("context has ended")
	errOver = errors.New("child says nothing more")
)

// await blocks until the next answer to a call has arrived, ctx has ended (errDone), or over is closed (errOver). One of the
// waiting goroutines reads for all.
func (c *Conversation) await(ctx context.Context, call *Call, over <-chan struct{}) (Frame, error) {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, c.interrupt)
		defer stop()
	}
	for {
		select {
		case f := <-call.answers:
			return f, nil
		case <-over:
			select {
			case f := <-call.answers: // it came before
				return f, nil
			default:
				return Frame{}, errOver
			}
		case <-ctx.Done():
			return Frame{}, errDone
		case c.reading <- struct{}{}:
			c.read(ctx, call, over)
			<-c.reading
		}
	}
}

// readAll reads all that the child still says, which may be why it ends.
func (c *Conversation) readAll() { _, _ = c.await(context.Background(), newCall(), c.lost) }

// interrupt ends the wait of the goroutine that reads, which then looks what it still waits for.
func (c *Conversation) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.poke()
}

// poke is interrupt for a caller that holds mu.
func (c *Conversation) poke() {
	if c.reader != nil && !c.poked {
		c.poked = true
		c.p.Answer.Interrupt()
	}
}

// read reads until the call has an answer, its context has ended, or over is closed.
func (c *Conversation) read(ctx context.Context, call *Call, over <-chan struct{}) {
	c.mu.Lock()
	if ctx.Err() != nil || child.IsClosed(over) { // what would interrupt it may have come already
		c.mu.Unlock()
		return
	}
	c.reader = call
	c.mu.Unlock()
	got := c.p.Answer.Poll(c.poll)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reader = nil
	if c.poked {
		c.poked = false
		c.p.Answer.Resume()
	} else if !got { // the child has ended, or nothing is awaited from it
		c.look(call)
	}
}

// look delivers what has arrived, until the call has an answer. It returns false if the pipe is empty. It reads no more than
// a pipe holds, since a child may write without end. It needs mu.
func (c *Conversation) look(call *Call) bool {
	c.answers.N = sys.MaxPipe
	for len(call.answers) == 0 && !child.IsClosed(c.lost) {
		switch f, err := c.in.read(); {
		case err == nil:
			c.deliver(&f)
		case err == sys.EAGAIN:
			return false
		case c.answers.N <= 0:
			return true
		default:
			c.lose(nil)
		}
	}
	return true
}

// now reads from a pipe, and never waits.
type now struct{ *child.Reader }

func (r now) Read(b []byte) (int, error) { return r.Now(b) }

// atHand returns the next answer to a call, if it has arrived. It needs mu.
func (c *Conversation) atHand(call *Call) (f Frame, ok bool) {
	c.look(call)
	select {
	case f = <-call.answers:
		return f, true
	default:
		return f, false
	}
}

// deliver gives a frame to the call that it answers. It needs mu.
func (c *Conversation) deliver(f *Frame) {
	if f.files > 0 {
		f.receiveFiles(c.p.Control)
		if f.Kind != Event && f.Kind != Result {
			f.Close()
		}
	}
	i := slices.IndexFunc(c.calls, func(call *Call) bool { return call.number == f.call })
	switch {
	case f.Kind == Refused || f.Kind == Ended:
		c.soFar.Word = *f
		c.lose(nil)
		return
	case f.extra != c.spec.Hash:
		c.lose(errReplaced)
	case i < 0 || !slices.Contains(lastKinds, f.Kind) && (f.Kind != Event || !c.spec.Stream):
		c.lose(fmt.Errorf("frame of kind %q answers nothing", byte(f.Kind)))
	case !child.IsClosed(c.over) || f.Kind == stack:
		call := c.calls[i]
		if f.Kind != Event {
			c.calls = slices.Delete(c.calls, i, i+1)
		}
		call.answers <- *f
		if f.Kind == Panicked {
			c.soFar.Word = *f
			c.finish() // no call may begin in a child that is about to end
		}
		return
	}
	f.Close()
}

// lastKinds are those of the last answer to a call.
var lastKinds = []Kind{Result, Failed, Unread, Unserved, Panicked, stack, ready}

// errReplaced is the error of a child that is another program.
var errReplaced = errors.New("child is another program than its parent: its executable has been replaced")
