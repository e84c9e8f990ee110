package child

import (
	"context"
	"fmt"
	"os"
	"time"

	"example.com/gons/reexec/internal/sys"
)

// An Outcome tells how a child has ended.
type Outcome struct {
	Stderr string
	Killed error            // why it was killed; nil if it has ended by itself
	Left   error            // why nothing waited for descendants that hold its pipes; nil if Wait did
	Status error            // of its end: nil, *exec.ExitError, an unknown one, which wraps ECHILD, or ErrStuck
	State  *os.ProcessState // how it has ended; nil if its status is unknown
	Ended  time.Time        // when it was reaped
	First  bool             // it was the first process of a PID namespace
	Relay  error            // why stderr or stdout could not be passed on
	Unsent error            // why an action's input was not written to its end; only Wait tells
}

// Wait blocks until the child is reaped, or given up, and its stderr and stdout have been passed on. All answers must have
// been read before.
func (c *Child) Wait() Outcome {
	c.awaitEnd()
	for _, o := range c.outputs {
		o.finish(c.left.Done())
	}
	c.limit(time.Now()) // nothing reads the rest of stdin
	c.stop()
	outcome := c.outcome()
	c.fed.Wait()
	outcome.Unsent = c.unread
	return outcome
}

// stop stops what is to happen before Wait returns.
func (c *Child) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, stop := range c.stops {
		stop()
	}
}

// awaitEnd blocks until the child is reaped, or is given up.
func (c *Child) awaitEnd() {
	select {
	case <-c.exited:
	case <-c.stuck.Done():
	}
}

// Died blocks until the child is reaped, or given up, and what the child itself has printed has been passed on. It waits
// for a writer no longer than a moment. Descendants may go on printing.
func (c *Child) Died() Outcome {
	c.awaitEnd()
	for _, o := range c.outputs {
		o.catchUp(moment, nil, nil)
	}
	return c.outcome()
}

func (c *Child) outcome() Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := Outcome{Killed: c.killed, Left: context.Cause(c.left), Status: c.status, First: isFirst(&c.attr)}
	if IsClosed(c.exited) {
		o.State, o.Ended = c.cmd.ProcessState, c.ended
		if c.killed == nil && sys.EndedBy(o.State) == os.Kill {
			o.Status = c.blame(o.Status)
		}
	} else {
		o.Status = ErrStuck
	}
	o.Stderr, o.Relay = c.outputs[0].excerpt(), c.relay()
	return o
}

// blame adds to the status of a child that was killed which target has ended: a PID namespace ends with its first process.
func (c *Child) blame(status error) error {
	for _, target := range c.targets {
		if ended := target.Ended(); ended != nil {
			return fmt.Errorf("%w (%w)", status, ended)
		}
	}
	return status
}

// Close releases what belongs to the child. It kills a child that has not ended, as where the decoder of a result panics.
func (c *Child) Close() {
	if !IsClosed(c.exited) && c.stuck.Err() == nil {
		c.Leave(os.ErrClosed)
		_ = c.Wait()
	}
	c.stop()
	for _, o := range c.outputs {
		o.drop(nil)
		sys.CloseAll(o.pipe.file)
	}
	sys.CloseAll(c.Stdin, c.Control, c.Answer.file)
}

// CatchUp blocks until what the child has printed so far has been passed on, until done is closed, or until the caller has
// left. It returns why something was not passed on.
func (c *Child) CatchUp(done <-chan struct{}) (relay error) {
	for _, o := range c.outputs {
		o.catchUp(0, done, c.left.Done())
	}
	return c.relay()
}

// relay returns why stderr or stdout was not passed on, or nil.
func (c *Child) relay() error {
	for _, o := range c.outputs {
		if err := o.failed(); err != nil {
			return err
		}
	}
	return nil
}
