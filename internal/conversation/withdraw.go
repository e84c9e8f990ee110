package conversation

import "example.com/gons/reexec/internal/frame"

// A doubt is about a call that is withdrawn: the child may have answered the calls before it, which nobody
// has read yet, and have begun with it. But once all has been read that was there after the child was told, and
// there are still others before it, then it has not, and never will.
type doubt struct {
	never error  // what the call returns if it has not begun
	begun func() // what becomes of it if it has; needs mu
}

// withdraw tells the child not to begin with a call, and has it found out whether it has. It returns false if
// the socket is full. It needs mu.
func (c *Conversation) withdraw(call *Call, d *doubt) bool {
	call.doubt = d
	if frame.Send(c.p.Control, frame.Withdrawal(call.number), false) != nil {
		return false
	}
	c.question(call)
	return true
}

// withdrawLater does so as soon as there is room.
func (c *Conversation) withdrawLater(call *Call) {
	if frame.Send(c.p.Control, frame.Withdrawal(call.number), true) != nil {
		return // the child has ended, or nobody waits for it any more
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.question(call)
}

// withdrawAll ends the calls that have not begun, since no more are wanted. It needs mu.
func (c *Conversation) withdrawAll() {
	for _, call := range c.calls {
		if !c.begins(call) && call.err == nil && call.doubt == nil && !c.withdraw(call, &doubt{ErrClosed, func() {}}) {
			go c.withdrawLater(call)
		}
	}
	if c.writer != nil {
		c.abandon(c.writer, ErrClosed)
	}
}

// question has whoever reads see what is there. It needs mu.
func (c *Conversation) question(call *Call) {
	if call.over || call.err != nil {
		return
	}
	c.doubted = append(c.doubted, call)
	call.poke()
	if c.reader != nil {
		c.p.Answer.Interrupt()
	}
}

// settle decides what has become of calls, now that all has been read that was there when they were withdrawn. It
// needs mu.
func (c *Conversation) settle(calls []*Call) {
	c.doubted = c.doubted[len(calls):]
	for _, call := range calls {
		switch {
		case call.over || call.err != nil:
		case !c.begins(call):
			c.abandon(call, call.doubt.never)
		default:
			call.doubt.begun() // if not even now, its answer will say so
		}
	}
}
