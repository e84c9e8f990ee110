// Package call is a function and its caller, on both sides of the pipes between parent and child.
//
// The caller's side is a [Conversation] with one child: many calls by a worker (worker.go), or a single one by a child of
// its own, which may answer with events, too (once.go). The child's side is [Serve]. What they say to each other stands
// in frame.go. It is for the functions of the root, which make public errors of what it tells, and for CheckAction.
package call

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// A Spec describes the child of a function.
type Spec struct {
	child.Spec
	Context bool  // the function obeys its context
	Stream  bool  // it answers with events, too
	Hash    int64 // of its types
}

// A Conversation is safe for concurrent use.
type Conversation struct {
	p    *child.Child
	spec Spec

	poll    func(fd uintptr) (done bool) // looks for an answer to the call of reader
	reading chan struct{}                // a lock, held by the goroutine that reads for all
	sending chan struct{}                // a lock, held while a call is written to the child
	lost    chan struct{}                // closed when the child says nothing more
	over    chan struct{}                // closed when calls get no more answers: then, and when the child is to be killed
	unread  atomic.Bool                  // the child has ended without reading all that was written to stdin; known once that is closed

	// mu guards what follows. Its holder may read what has arrived, and deliver it. So one step decides whether an answer
	// has come in time, and if not, whether the child is killed.
	mu      sync.Mutex
	answers io.LimitedReader // a pipeful at a time
	in      incoming         // of answers
	calls   []*Call          // sent, or about to be, and not answered
	last    uint64           // number of the last call
	reader  *Call            // the call whose goroutine is in Poll, or nil
	poked   bool             // it was interrupted
	soFar   End              // what is known of the child's end; Killed is set before the child is killed
}

// start starts a child. Its error is an *End if the child was started all the same.
func start(ctx context.Context, spec Spec) (*Conversation, error) {
	spec.Function = true
	p, outcome, err := child.Start(ctx, spec.Spec)
	if outcome != nil {
		end := &End{Outcome: *outcome, Unborn: err, NotBegun: true}
		end.await(ctx)
		return nil, end
	}
	if err != nil {
		return nil, err
	}
	c := &Conversation{
		p:       p,
		spec:    spec,
		reading: make(chan struct{}, 1),
		sending: make(chan struct{}, 1),
		lost:    make(chan struct{}),
		over:    make(chan struct{}),
		answers: io.LimitedReader{R: now{p.Answer}},
	}
	c.in = newIncoming(&c.answers)
	c.poll = func(uintptr) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.look(c.reader)
	}
	return c, nil
}

// lose ends all waiting: the child says nothing more, or makes no sense. It needs mu.
func (c *Conversation) lose(fault error) {
	if !child.IsClosed(c.lost) {
		c.soFar.Fault = fault
		close(c.lost)
		c.finish()
	}
}

// finish ends the waiting for answers to calls. Later ones are dropped. It needs mu.
func (c *Conversation) finish() {
	if !child.IsClosed(c.over) {
		close(c.over)
		c.poke()
	}
}

// isOpen tells, at the end of a call's context, whether the call still waits for its last answer. It drops an event that has
// arrived. If the call waits and condemns, isOpen also decides that the child is to be killed: no other call gets an answer from
// then on. The caller calls kill next. Otherwise the call's caller returns.
func (c *Conversation) isOpen(call *Call, condemns bool, why error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.atHand(call)
	if ok && f.Kind != Event {
		call.answers <- f
		return false
	}
	f.Close()
	if child.IsClosed(c.over) {
		return false
	}
	if condemns {
		c.soFar.Killed = why
		c.finish()
	} else {
		call.left = true
	}
	return true
}

// kill kills a child that isOpen has condemned for a call. A child that has begun with the call is asked for its stacks first. Of
// one that has not, only its end tells whether it has read the call meanwhile.
func (c *Conversation) kill(call *Call, why error) {
	if c.hasNotBegun(call) {
		c.p.Leave(why)
		c.p.Died()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.soFar.Unread = child.IsClosed(c.p.Exited()) && c.hasNotBegun(call)
		return
	}
	defer c.p.Leave(why)
	c.mu.Lock()
	asked := c.register()
	c.mu.Unlock()
	tell(c.p.Control, header{Kind: dump, call: asked.number}, nil)
	ctx, cancel := context.WithTimeout(context.Background(), dumpTime)
	defer cancel()
	if f, err := c.await(ctx, asked, c.lost); err == nil {
		var text []byte
		_ = f.Decode(&text) // without a stack if it makes no sense
		c.mu.Lock()
		c.soFar.Stack = text[:min(len(text), maxText)]
		c.mu.Unlock()
	}
}

// dumpTime is how long a child may take to say where its goroutines are.
const dumpTime = time.Second

// hasNotBegun tells whether the child has not begun with a call so far, since it has not read all of it.
func (c *Conversation) hasNotBegun(call *Call) bool {
	return c.spec.Concurrency <= 1 && (!call.param.Done() || sys.Unread(c.p.Stdin) > 0 || c.unread.Load())
}

// leave tells the child that the context of a call has ended, or kills it. If the call has been answered by now, or never
// will be, leave does nothing, and returns false.
func (c *Conversation) leave(ctx context.Context, call *Call, kills bool) bool {
	why := context.Cause(ctx)
	switch {
	case !c.isOpen(call, kills, why):
		return false
	case kills:
		c.kill(call, why)
	default:
		extra, cause := cancellation(ctx)
		tell(c.p.Control, header{Kind: cancel, call: call.number, extra: extra}, cause)
	}
	return true
}

// outlast gives the child the grace period to answer a call whose context has ended, and drops its events. Then it kills the
// child. It returns the last answer.
func (c *Conversation) outlast(ended context.Context, call *Call) (Frame, error) {
	ctx, cancel := context.WithTimeout(context.Background(), max(c.spec.Grace, 0))
	defer cancel()
	for {
		f, err := c.await(ctx, call, c.over)
		switch {
		case err == errDone:
			c.leave(ended, call, true)
			ctx = context.Background() // an answer has arrived, or over is closed
		case err == nil && f.Kind == Event:
			f.Close()
		default:
			return f, err
		}
	}
}

// hangUp lets the child end, blocks until it has, and releases everything. It is called once.
func (c *Conversation) hangUp() *End {
	c.mu.Lock()
	isToEnd := c.soFar.Killed != nil || c.soFar.Closed
	c.mu.Unlock()
	if !isToEnd {
		c.p.Linger()
	}
	c.sending <- struct{}{} // after the parameter that is being written
	c.unread.Store(child.IsClosed(c.p.Exited()) && sys.Unread(c.p.Stdin) > 0)
	_ = c.p.Stdin.Close()
	<-c.sending
	c.readAll()
	outcome := c.p.Wait()
	c.p.Close()
	return c.end(outcome)
}
