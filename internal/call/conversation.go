// Package call is a function and its caller, on both sides of the pipes between parent and child.
//
// The caller's side is a [Conversation] with one child: many calls by a worker (worker.go), or a single one by a child of
// its own, which may answer with events, too (once.go). The child's side is [Serve]. What they say to each other stands
// in frame.go. It is for the functions of the root, which make public errors of what it tells, and for CheckAction.
package call

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// A Spec is what the child of a function is to be.
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

	reading chan struct{}          // a lock, held by the goroutine that reads for all
	lost    chan struct{}          // closed when the child says nothing more
	over    chan struct{}          // closed when there are no more answers to calls: then, and when the child is to be killed
	moment  func() <-chan struct{} // see End.await

	// mu guards what follows. Its holder may read what has arrived, and deliver it: so one step decides whether
	// an answer has come in time, and what becomes of the child if not.
	mu        sync.Mutex
	in        incoming
	calls     []*Call // those that the child has been told of and that have not been answered
	last      uint64  // number of the last call
	reader    *Call   // whose goroutine is in Poll, nil: none is
	poked     bool    // the reader was interrupted
	word      frame   // the last one, where it says why: a refusal, a signal, or a panic
	fault     error   // why what the child said makes no sense
	doom      error   // why the child is to be killed, nil: it is not
	deaf      bool    // answers are dropped, but for Stack
	cancelled error   // why a single call was cancelled
	unread    bool    // the child has ended without having read its call
	stack     []byte  // where its goroutines were then
}

// A Call is one that the child has been told of, or will be.
type Call struct {
	number  uint64
	events  bool       // its answers may be events
	left    bool       // its caller does not wait any more
	answers chan frame // the next one
	param   *outgoing

	in   *Conversation
	poll func(fd uintptr) (done bool) // looks for an answer; made once
}

// spare are calls that are over, and have left no trace.
var spare = sync.Pool{New: func() any {
	call := &Call{answers: make(chan frame, 1)}
	call.poll = func(uintptr) bool {
		call.in.mu.Lock()
		defer call.in.mu.Unlock()
		return call.in.look(call)
	}
	return call
}}

func (c *Conversation) newCall() *Call {
	call := spare.Get().(*Call)
	call.in, call.number, call.events, call.left = c, 0, false, false
	return call
}

// reuse gives the memory of a call back, that of its parameter included. Only the caller may know of it any more.
func (call *Call) reuse() {
	call.param.free()
	call.param, call.in = nil, nil
	spare.Put(call)
}

// start starts a child. Its error is an *End if the child was started all the same.
func start(ctx context.Context, spec Spec) (*Conversation, error) {
	spec.Function = true
	p, outcome, err := child.Start(ctx, spec.Spec)
	if outcome != nil {
		end := &End{Outcome: *outcome, Unborn: err, NotBegun: true}
		end.await(ctx, newMoment())
		return nil, end
	}
	if err != nil {
		return nil, err
	}
	return &Conversation{
		p:       p,
		spec:    spec,
		reading: make(chan struct{}, 1),
		lost:    make(chan struct{}),
		over:    make(chan struct{}),
		moment:  newMoment(),
	}, nil
}

var (
	errDone = errors.New("context has ended")       // before an answer has arrived
	errOver = errors.New("child says nothing more") // and there is no answer
)

// await blocks until the next answer to a call has arrived, or ctx has ended, or there will be none. Of the goroutines that
// wait, one reads for all.
func (c *Conversation) await(ctx context.Context, call *Call, over <-chan struct{}) (frame, error) {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { c.interrupt(call) })
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
				return frame{}, errOver
			}
		case <-ctx.Done():
			return frame{}, errDone
		case c.reading <- struct{}{}:
			c.read(ctx, call, over)
			<-c.reading
		}
	}
}

// readAll reads all that the child still says, which may be why it ends.
func (c *Conversation) readAll() { _, _ = c.await(context.Background(), c.newCall(), c.lost) }

// interrupt ends the wait of the goroutine of a call, if it reads.
func (c *Conversation) interrupt(call *Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reader == call {
		c.poke()
	}
}

// poke ends the wait of the reader, if there is one. It needs mu.
func (c *Conversation) poke() {
	if c.reader != nil && !c.poked {
		c.poked = true
		c.p.Answer.Interrupt()
	}
}

// read reads until the call has an answer, its context has ended, or there will be none.
func (c *Conversation) read(ctx context.Context, call *Call, over <-chan struct{}) {
	c.mu.Lock()
	if ctx.Err() != nil || isClosed(over) { // what would interrupt it may have come already
		c.mu.Unlock()
		return
	}
	c.reader = call
	c.mu.Unlock()
	got := c.p.Answer.Poll(call.poll)
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

// look delivers what has arrived, until the call has an answer. It returns false if the pipe is empty. What a child writes meanwhile, perhaps
// without end, is left for the next time. It needs mu.
func (c *Conversation) look(call *Call) bool {
	for read := 0; read <= sys.MaxPipe && len(call.answers) == 0 && !c.isLost(); {
		if f, ok := c.in.frame(); ok {
			c.deliver(&f)
			continue
		}
		n, err := c.p.Answer.Now(c.in.room())
		c.in.fill(n)
		read += n
		switch err {
		case nil:
		case syscall.EAGAIN:
			return false
		default:
			c.lose(nil)
		}
	}
	return true
}

// deliver gives a frame to whom it may concern. It needs mu.
func (c *Conversation) deliver(f *frame) {
	if f.files > 0 {
		f.receiveFiles(c.p.Control)
		if f.kind != Event && f.kind != Result {
			f.close()
		}
	}
	i := slices.IndexFunc(c.calls, func(call *Call) bool { return call.number == f.call })
	var call *Call
	if i >= 0 {
		call = c.calls[i]
	}
	switch {
	case f.kind == Refused || f.kind == Ended:
		c.word = *f
		c.lose(nil)
		return
	case f.extra != c.spec.Hash:
		c.lose(errReplaced)
	case call == nil:
		c.lose(fmt.Errorf("frame of kind %q belongs to no call", byte(f.kind)))
	case !slices.Contains(lastKinds, f.kind) && (f.kind != Event || !call.events):
		c.lose(fmt.Errorf("frame of unknown kind %q", byte(f.kind)))
	case !c.deaf || f.kind == stack:
		if f.kind == Panicked {
			c.word = *f
		}
		if f.kind != Event {
			c.calls = slices.Delete(c.calls, i, i+1)
		}
		call.answers <- *f
		return
	}
	f.close()
}

// lastKinds are those of the last answer to a call.
var lastKinds = []Kind{Result, Failed, Unread, Unserved, Panicked, stack, ready}

// errReplaced is the error of a child that is another program.
var errReplaced = errors.New("child is another program than its parent: its executable has been replaced")

// isLost tells whether the child says nothing more.
func (c *Conversation) isLost() bool { return isClosed(c.lost) }

func isClosed(channel <-chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}

// lose ends all waiting: there are no more frames, or they make no sense. It needs mu.
func (c *Conversation) lose(fault error) {
	if !c.isLost() {
		c.fault = fault
		close(c.lost)
		c.finish()
	}
}

// finish ends the waiting for answers to calls. It needs mu.
func (c *Conversation) finish() {
	if !isClosed(c.over) {
		close(c.over)
		c.poke()
	}
}

// isOpen decides, at the end of the context of a call, whether that has been answered by now. If so, the answer counts; an
// event that has come does not. If not, and there is a reason to condemn the child, the same step decides that it is to be
// killed, which kill then does: other calls have no answers any more.
func (c *Conversation) isOpen(call *Call, condemn error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look(call)
	select {
	case f := <-call.answers:
		if f.kind != Event {
			call.answers <- f
			return false
		}
		f.close()
	default:
	}
	if isClosed(c.over) {
		return false
	}
	if condemn != nil {
		c.doom, c.deaf = condemn, true
		c.finish()
	}
	return true
}

func (c *Conversation) isDoomed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doom != nil
}

// kill kills a child that was condemned, after it was asked where its goroutines are. The call is the one that it
// has not answered.
func (c *Conversation) kill(call *Call, why error) {
	c.mu.Lock()
	c.unread = c.hasNotBegun(call)
	if c.unread {
		c.mu.Unlock()
		c.p.Leave(why)
		return
	}
	asked := c.newCall()
	c.last++
	asked.number = c.last
	c.calls = append(c.calls, asked)
	c.mu.Unlock()
	tell(c.p.Control, header{kind: dump, call: asked.number}, nil)
	ctx, cancel := context.WithTimeout(context.Background(), dumpTime)
	defer cancel()
	if f, err := c.await(ctx, asked, c.lost); err == nil {
		var text []byte
		_ = f.decode(&text) // what cannot be understood is not there
		c.mu.Lock()
		c.stack = text[:min(len(text), maxText)]
		c.mu.Unlock()
	}
	c.p.Leave(why)
}

// dumpTime is how long a child may take to say where its goroutines are.
const dumpTime = time.Second

// hasNotBegun tells whether the child has certainly not begun with a call: it has not read all of it.
func (c *Conversation) hasNotBegun(call *Call) bool {
	return c.spec.Concurrency <= 1 && (!call.param.Done() || sys.Unread(c.p.Stdin) > 0)
}

// outlast gives the child the grace period to answer a call whose caller has left, and drops what it answers. Then the child is
// killed. It returns the last answer.
func (c *Conversation) outlast(call *Call, why error) (frame, error) {
	c.mu.Lock()
	call.left = true
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), max(c.spec.Grace, 0))
	defer cancel()
	for {
		f, err := c.await(ctx, call, c.over)
		switch {
		case err == errDone && c.isOpen(call, why):
			c.kill(call, why)
			return frame{}, errOver
		case err == errDone:
			ctx = context.Background() // it is there, or there will be none
		case err == nil && f.kind == Event:
			f.close()
		default:
			return f, err
		}
	}
}

// cancel tells the child that the context of a call has ended.
func (c *Conversation) cancel(ctx context.Context, call *Call) {
	extra, cause := cancellation(ctx)
	tell(c.p.Control, header{kind: cancel, call: call.number, extra: extra}, cause)
}

// write writes a call to the child. It returns false if that does not take it at once: then writeLater goes on.
func (c *Conversation) write(call *Call, param Param, files bool) (done bool) {
	call.param = param.outgoing
	param.number(call.number)
	c.p.WillWrite(&param.Writing, param.parts)
	return !files && param.Now()
}

// writeLater writes what is left of a call, after its open files, which it closes.
func (c *Conversation) writeLater(call *Call, open []int) {
	err := sendFiles(c.p.Control, call.number, open, false)
	switch {
	case err == nil:
		_ = call.param.Wait() // a child that does not take it does not answer either
	case !isGone(err): // or else the child's end says more
		c.fail(call, err)
	}
}

// fail ends a call whose files could not be sent.
func (c *Conversation) fail(call *Call, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.calls, call); i >= 0 {
		c.calls = slices.Delete(c.calls, i, i+1)
		call.answers <- frame{lost: &UnsentError{err}}
		if c.reader == call {
			c.poke()
		}
	}
}
