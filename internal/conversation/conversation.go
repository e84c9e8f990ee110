// Package conversation is the caller's side of a function: it sends parameters to a child and
// gives each caller its answers. A call in a child of its own, a worker and a stream are the
// same conversation. It is for the functions of the root, which make public errors of what it
// tells.
//
// There is no goroutine that reads. Of the callers that wait, one reads for all, until it has its
// own answer; then another one does. So a single caller, who is the usual one, is spared two
// switches of goroutines.
package conversation

import (
	"context"
	"errors"
	"slices"
	"sync"

	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/pipe"
	"example.com/gons/reexec/internal/process"
)

// A Spec is what a conversation is to be.
type Spec struct {
	process.Spec
	Context bool   // the function obeys its context
	Files   bool   // its parameters may hold open files
	Types   uint64 // the hash of its types
}

// A Conversation is safe for concurrent use.
type Conversation struct {
	p       *process.Process
	spec    Spec
	room    int           // bytes of parameters that may be in the pipe before the child can begin with them
	writing chan struct{} // held by who writes parameters; a channel, since one has to wait with a context
	closing chan struct{} // closed by Close
	close   func()
	end     func() *End
	ending  sync.WaitGroup // waits for the end of a child whose call was cancelled

	mu     sync.Mutex  // guards what follows
	last   uint64      // number of the last call
	calls  []*Call     // those that have not been answered, in the order of their numbers
	queued int         // bytes of their parameters
	ready  bool        // so the child has said
	lost   bool        // there will be no more frames
	word   frame.Frame // the last one, where it says why: a refusal, or a panic
	fault  error       // why what the child said makes no sense
	ended  error       // why a single call was cancelled

	frames  *frame.Reader      // for the reader
	frame   frame.Frame        // what it has read
	reader  *Call              // who reads; nil: nobody
	waiting map[*Call]struct{} // those that wait, for their answers or for the role of the reader
	writer  *Call              // who waits to write
	doubted []*Call            // those that have been withdrawn, and are not settled yet
}

// A Call is a call that is being served, or will be.
type Call struct {
	number   uint64        // calls are served in the order of their numbers; 0: not sent yet
	size     int           // of its parameter
	written  chan struct{} // closed when the parameter has been written, if the call has to wait for that
	wake     chan struct{} // it should look again
	answers  []frame.Frame // not yet taken
	over     bool          // no more will come
	err      error         // why nobody takes them any more
	doubt    *doubt        // it was withdrawn, perhaps too late
	overseer *Call         // who sees to it that it ends, since its context has
}

func newCall() *Call { return &Call{wake: make(chan struct{}, 1)} }

// poke has the goroutine of a call look again.
func (call *Call) poke() {
	select {
	case call.wake <- struct{}{}:
	default:
	}
}

// Start starts a child. Its error is an *End if the child was started all the same.
//
// In a conversation for many calls (Ready) Start waits until the child is ready, and the end of
// ctx kills it.
func Start(ctx context.Context, spec Spec) (*Conversation, error) {
	spec.Function = true
	p, outcome, err := process.Start(ctx, spec.Spec)
	if outcome != nil {
		return nil, &End{Outcome: *outcome, Unborn: err}
	}
	if err != nil {
		return nil, err
	}
	c := &Conversation{
		p:       p,
		spec:    spec,
		frames:  frame.NewReader(p.Answer),
		writing: make(chan struct{}, 1),
		closing: make(chan struct{}),
		waiting: map[*Call]struct{}{},
	}
	c.close = sync.OnceFunc(func() { close(c.closing) })
	c.end = sync.OnceValue(c.hangUp)
	if !spec.Ready {
		return c, nil
	}
	p.OnEnd(ctx, func() { p.Abort(context.Cause(ctx)) })
	if p.Control != nil && !spec.Files {
		c.room = pipe.Room(p.Stdin) / 4 // since small writes do not fill its pages
	}
	c.wait(newCall(), func() bool { return c.ready })
	if !c.ready {
		return nil, c.end()
	}
	return c, nil
}

// Exited is closed once the child is reaped.
func (c *Conversation) Exited() <-chan struct{} { return c.p.Exited() }

// PID is that of the child.
func (c *Conversation) PID() int { return c.p.PID() }

// Alone has a child of its own serve a single call, whose answers are to be taken with Next. In the
// end Finish or Close must be called.
func Alone(ctx context.Context, spec Spec, param Param) (c *Conversation, call *Call, err error) {
	descriptors, err := frame.Duplicate(param.encoded.Files)
	if err != nil {
		return nil, nil, &UnsentError{err}
	}
	spec.Open = len(param.encoded.Files) > 0 // files go before their frame
	if !spec.Open {
		spec.Input = param.encoded.Bytes()
	}
	defer func() { frame.CloseAll(descriptors) }() // those that are not sent
	if c, err = Start(ctx, spec); err != nil {
		return nil, nil, err
	}
	call = newCall()
	call.number, c.last = 1, 1
	c.calls = append(c.calls, call)
	c.p.OnEnd(ctx, func() { c.cancelAlone(ctx, call) })
	if !spec.Open {
		c.p.Send() // if it does not go well, there is no answer
		return c, call, nil
	}
	files := descriptors
	descriptors = nil // they are closed when they are sent
	err = c.write(call, files, param.encoded)
	_ = c.p.Stdin.Close()
	if err != nil {
		c.Close()
		return nil, nil, &UnsentError{err}
	}
	return c, call, nil
}

// cancelAlone ends a call in a child of its own. A function that obeys its context has the
// grace period to return.
func (c *Conversation) cancelAlone(ctx context.Context, call *Call) {
	c.mu.Lock()
	c.ended = context.Cause(ctx)
	c.mu.Unlock()
	c.tell(frame.Cancellation(call.number, ctx), c.ended)
}

// Cancel tells the child that no more answers to its single call are wanted.
func (c *Conversation) Cancel(call *Call) { c.tell(frame.Unwanted(call.number), context.Canceled) }

func (c *Conversation) tell(message frame.Message, cause error) {
	if !c.canCancel() {
		c.p.Abort(cause)
		return
	}
	_ = frame.Send(c.p.Control, message, false) // a child that cannot be told has ended, or will be killed
	c.p.AbortAfterGrace(cause)
	c.ending.Go(func() { c.p.AbortAtEnd(cause) }) // a writer of stderr may block, or somebody else hold it open
}

// canCancel tells whether the child can be told of the end of a context.
func (c *Conversation) canCancel() bool { return c.spec.Context && c.p.Control != nil }

// Next blocks until the next answer to a call has arrived. Its error is why there is none.
func (c *Conversation) Next(call *Call) (frame.Frame, error) {
	c.wait(call, func() bool { return len(call.answers) > 0 })
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case call.err != nil:
		return frame.Frame{}, call.err
	case len(call.answers) == 0:
		return frame.Frame{}, errSilent
	}
	f := call.answers[0]
	call.answers = slices.Delete(call.answers, 0, 1) // which keeps the memory
	return f, nil
}

// errSilent says that there are no more answers.
var errSilent = errors.New("child says nothing more")
