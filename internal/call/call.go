package call

import (
	"context"
	"fmt"
	"sync"
)

// A Call is a call that was sent to the child, or will be.
type Call struct {
	number  uint64
	left    bool       // its caller has returned
	answers chan Frame // the next one
	param   *outgoing

	in   *Conversation
	poll func(fd uintptr) (done bool) // looks for an answer; made once
}

// spare are calls that are over, for reuse.
var spare = sync.Pool{New: func() any {
	call := &Call{answers: make(chan Frame, 1)}
	call.poll = func(uintptr) bool {
		call.in.mu.Lock()
		defer call.in.mu.Unlock()
		return call.in.look(call)
	}
	return call
}}

func (c *Conversation) newCall() *Call {
	call := spare.Get().(*Call)
	call.in, call.number, call.left = c, 0, false
	return call
}

// encodeParam encodes the parameter of a call, to which pointer points.
func encodeParam(ctx context.Context, pointer any) (*outgoing, error) {
	h := header{Kind: called}
	if deadline, ok := ctx.Deadline(); ok {
		h.extra = deadline.UnixMicro()
	}
	o, err := encode(h, pointer)
	if err != nil {
		return nil, &UnsentError{err}
	}
	return o, nil
}

// register numbers a new call, whose answers are expected from now on. It needs mu.
func (c *Conversation) register() *Call {
	call := c.newCall()
	c.last++
	call.number = c.last
	c.calls = append(c.calls, call)
	return call
}

// reuse gives the memory of a call and its parameter back. Nothing else may refer to the call.
func (call *Call) reuse() {
	call.param.free()
	call.param, call.in = nil, nil
	spare.Put(call)
}

// send sends a call, after its open files, which it closes. What the child does not take at once, another goroutine
// sends. The caller holds the lock sending; send gives it back when all is sent.
func (c *Conversation) send(call *Call, param *outgoing, open []int) {
	call.param = param
	param.number(call.number)
	c.p.WillWrite(&param.Writing, param.parts)
	if len(open) == 0 && param.Now() {
		<-c.sending
	} else {
		go c.sendLater(call, open)
	}
}

// sendLater sends the open files and the rest of a call. Where the files cannot be sent, it kills the child.
func (c *Conversation) sendLater(call *Call, open []int) {
	defer func() { <-c.sending }()
	err := sendFiles(c.p.Control, call.number, open, false)
	switch {
	case err == nil:
		_ = call.param.Wait() // a child that does not take it does not answer either
	case !isGone(err): // or else the child's end says more
		c.p.Leave(fmt.Errorf("cannot send open files: %w", err))
	}
}
