package call

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"example.com/gons/reexec/internal/sys"
)

// A Call is a call that was sent to the child, or will be.
type Call struct {
	number  uint64
	left    bool       // its caller has returned
	answers chan Frame // the next one
	param   *outgoing
}

// spare are calls that are over, for reuse.
var spare = sync.Pool{New: func() any { return &Call{answers: make(chan Frame, 1)} }}

func newCall() *Call { return spare.Get().(*Call) }

// encodeParam encodes the parameter of a call, to which pointer points.
func encodeParam(ctx context.Context, pointer any) (*outgoing, error) {
	h := header{Kind: called}
	if deadline, ok := ctx.Deadline(); ok {
		h.extra = int64(deadline.Sub(time.Unix(0, 0))) // one after the year 2262 becomes the last that there is
	}
	o, err := encode(h, pointer)
	if err != nil {
		return nil, &UnsentError{err}
	}
	return o, nil
}

// register numbers a new call, whose answers are expected from now on. It needs mu.
func (c *Conversation) register() *Call {
	call := newCall()
	c.last++
	call.number = c.last
	c.calls = append(c.calls, call)
	return call
}

// reuse gives the memory of a call and its parameter back. Nothing else may refer to the call.
func (call *Call) reuse() {
	call.param.free()
	*call = Call{answers: call.answers}
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
	case !errors.Is(err, sys.EPIPE) && !errors.Is(err, sys.ECONNRESET): // or else the child's end says more
		c.p.Leave(fmt.Errorf("cannot send open files: %w", err))
	}
}
