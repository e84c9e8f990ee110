package conversation

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"example.com/gons/reexec/internal/frame"
)

// wait blocks until what is awaited is there, or will never be. Of those who wait, one reads for
// all. Function done needs mu.
func (c *Conversation) wait(call *Call, done func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !done() && !c.lost && call.err == nil {
		if c.reader == nil {
			c.reader = call
			doubted := c.doubted
			if len(doubted) > 0 {
				c.p.Answer.Interrupt()
			}
			c.mu.Unlock()
			got, err := c.read()
			c.mu.Lock()
			c.reader = nil
			if !got && err == nil {
				c.settle(doubted)
				continue
			}
			c.deliver(&c.frame, err)
			c.frame = frame.Frame{} // it may be large
			continue
		}
		c.waiting[call] = struct{}{}
		c.mu.Unlock()
		<-call.wake
		c.mu.Lock()
		delete(c.waiting, call)
	}
	if c.reader == nil {
		for next := range c.waiting {
			next.poke()
			break
		}
	}
}

// read reads a frame. After an interruption of the reader, or a late one of its predecessor, it does not
// wait, and there may be none.
func (c *Conversation) read() (got bool, err error) {
	c.frame, err = c.frames.Next()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.p.Answer.Resume()
		return false, nil
	case err != nil:
		return false, err
	case c.frame.Files > 0:
		c.receive(&c.frame)
	}
	return true, nil
}

// receive receives the files of an answer, which have been sent before it. Others are of an answer that was not sent
// to its end.
func (c *Conversation) receive(f *frame.Frame) {
	var descriptors []int
	var lost error
	for received := 0; received < int(f.Files); {
		m, err := frame.Receive(c.p.Control)
		if err == frame.ErrNone || err == io.EOF { // which of both depends on how fast it ends
			err = errMissing
		}
		if err != nil {
			lost = err
			break
		}
		if m.Call != f.Call {
			frame.CloseAll(m.Files)
			continue
		}
		descriptors = append(descriptors, m.Files...)
		received += m.Count
		if m.Lost != nil {
			lost = m.Lost
		}
	}
	f.Receive(descriptors, lost)
}

var errMissing = errors.New("child has not sent them")

// deliver gives a frame to whom it may concern. It needs mu.
func (c *Conversation) deliver(f *frame.Frame, err error) {
	switch {
	case err != nil:
		c.lose(nil)
		return
	case f.Kind != frame.Event && f.Kind != frame.Result:
		f.CloseFiles() // nobody has asked for them
	}
	switch {
	case f.Kind == frame.Ready && !c.ready && c.spec.Ready:
		c.ready = true
		return
	case f.Kind == frame.Refusal:
		c.word = *f
		return
	}
	i := slices.IndexFunc(c.calls, func(call *Call) bool { return call.number == f.Call })
	if i < 0 {
		f.CloseFiles()
		c.lose(fmt.Errorf("frame of kind %q belongs to no call", byte(f.Kind)))
		return
	}
	call := c.calls[i]
	switch {
	case f.Kind == frame.Event && !c.spec.Ready:
	case f.Kind == frame.Panicked:
		c.word = *f
		c.finish(call)
	case f.Kind == frame.Result || f.Kind == frame.Failed || f.Kind == frame.Bad,
		f.Kind == frame.Withdrawn && call.doubt != nil:
		c.finish(call)
	default:
		f.CloseFiles()
		c.lose(fmt.Errorf("frame of unknown kind %q", byte(f.Kind)))
		return
	}
	if f.Kind == frame.Withdrawn && call.err == nil {
		c.abandon(call, call.doubt.never)
	}
	if call.err != nil {
		f.CloseFiles()
		return
	}
	call.answers = append(call.answers, *f)
	call.poke()
}

// finish ends a call, so that another one may be sent. It needs mu.
func (c *Conversation) finish(call *Call) {
	c.calls = slices.DeleteFunc(c.calls, func(other *Call) bool { return other == call })
	c.queued -= call.size
	call.over = true
	if call.overseer != nil {
		call.overseer.poke()
	}
	if c.writer != nil {
		c.writer.poke()
	}
}

// lose ends all waiting: there are no more frames, or they make no sense. It needs mu.
func (c *Conversation) lose(fault error) {
	c.lost, c.fault = true, fault
	for call := range c.waiting {
		call.poke()
	}
}
