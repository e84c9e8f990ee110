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
	"fmt"
	"os"
	"sync"
	"time"

	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/pipe"
	"example.com/gons/reexec/internal/process"
)

// A Spec is what a conversation is to be.
type Spec struct {
	process.Spec
	Context bool // the function obeys to its context
	Files   bool // its parameters may hold open files
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

	mu     sync.Mutex       // guards what follows
	last   uint64           // number of the last call
	calls  map[uint64]*Call // those that have not been answered
	queued int              // bytes of their parameters
	ready  bool             // so the child has said
	lost   bool             // there will be no more frames
	word   *frame.Frame     // the last one, where it says why: a refusal, or a panic
	fault  error            // why what the child said makes no sense
	ended  error            // why a single call was cancelled

	frames  *frame.Reader      // for the reader
	reader  *Call              // who reads; nil: nobody
	waiting map[*Call]struct{} // those that wait, for their answers or for the role of the reader
	writer  *Call              // who waits to write
}

// A Call is a call that is being served, or will be.
type Call struct {
	number    uint64        // calls are served in the order of their numbers; 0: not sent yet
	size      int           // of its parameter
	wake      chan struct{} // it should look again
	answers   []frame.Frame // not yet taken
	abandoned bool          // nobody will take them
	over      bool          // no more will come
	err       error         // why nothing more is awaited
}

func newCall() *Call { return &Call{wake: make(chan struct{}, 1)} }

// poke has the goroutine of a call look again.
func (call *Call) poke() {
	select {
	case call.wake <- struct{}{}:
	default:
	}
}

// A Cancelled is the error of a call whose context has ended.
type Cancelled struct {
	Cause error
	Begun bool
}

func (e *Cancelled) Error() string { return e.Cause.Error() }
func (e *Cancelled) Unwrap() error { return e.Cause }

// An UnsentError is the error of open files that cannot be sent.
type UnsentError struct{ Err error }

func (e *UnsentError) Error() string { return e.Err.Error() }
func (e *UnsentError) Unwrap() error { return e.Err }

// ErrClosed is the error of calls after Close.
var ErrClosed = fmt.Errorf("worker is closed: %w", os.ErrClosed)

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
		calls:   map[uint64]*Call{},
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
	descriptors, err := frame.Duplicate(param.files)
	if err != nil {
		return nil, nil, &UnsentError{err}
	}
	spec.Open = len(param.files) > 0 // files go before their frame
	if !spec.Open {
		spec.Input = param.encoded
	}
	if c, err = Start(ctx, spec); err != nil {
		frame.CloseAll(descriptors)
		return nil, nil, err
	}
	call = newCall()
	call.number, c.last = 1, 1
	c.calls[1] = call
	c.p.OnEnd(ctx, func() { c.cancelAlone(ctx, call) })
	if !spec.Open {
		c.p.Send() // if it does not go well, there is no answer
		return c, call, nil
	}
	err = c.write(call, descriptors, param.encoded)
	_ = c.p.Stdin.Close()
	if err != nil {
		c.Close()
		return nil, nil, &UnsentError{err}
	}
	return c, call, nil
}

// cancelAlone ends a call in a child of its own. A function that obeys to its context has the
// grace period to return.
func (c *Conversation) cancelAlone(ctx context.Context, call *Call) {
	c.mu.Lock()
	c.ended = context.Cause(ctx)
	c.mu.Unlock()
	c.tell(ctx, call)
}

func (c *Conversation) tell(ctx context.Context, call *Call) {
	cause := context.Cause(ctx)
	if !c.canCancel() || frame.Send(c.p.Control, frame.Cancellation(call.number, ctx), false) != nil {
		c.p.Abort(cause)
		return
	}
	c.p.AbortAfterGrace(cause)
}

// canCancel tells whether the child can be told of the end of a context.
func (c *Conversation) canCancel() bool { return c.spec.Context && c.p.Control != nil }

// Cancel tells the child that no more answers to its single call are wanted.
func (c *Conversation) Cancel(call *Call) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.tell(ctx, call)
}

// Next blocks until the next answer to a call has arrived. Its error is that of a child that says
// nothing more.
func (c *Conversation) Next(call *Call) (frame.Frame, error) {
	c.wait(call, func() bool { return len(call.answers) > 0 })
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(call.answers) == 0 {
		return frame.Frame{}, errLost
	}
	f := call.answers[0]
	call.answers = call.answers[1:]
	return f, nil
}

// errLost says that there are no more answers.
var errLost = errors.New("child says nothing more")

// Call has the child serve a call, and blocks until it has answered; then what it has written to
// stderr before has been passed on. The error is *Cancelled, ErrClosed, *End, or that of files that cannot be sent.
func (c *Conversation) Call(ctx context.Context, param Param) (frame.Frame, error) {
	select {
	case c.writing <- struct{}{}:
	case <-ctx.Done():
		return frame.Frame{}, &Cancelled{Cause: context.Cause(ctx)}
	case <-c.closing:
		return frame.Frame{}, ErrClosed
	}
	call := newCall()
	call.size = len(param.encoded)
	stop := process.OnDone(ctx, func() { c.cancel(ctx, call) })
	defer stop()
	if err := c.send(call, param); err != nil {
		return frame.Frame{}, err
	}
	c.wait(call, func() bool { return call.over })

	c.mu.Lock()
	err, answers := call.err, call.answers
	c.mu.Unlock()
	switch {
	case err != nil:
		return frame.Frame{}, err
	case len(answers) == 0:
		return frame.Frame{}, c.end()
	}
	c.p.CatchUp(ctx.Done())
	return answers[0], nil
}

// send sends the parameter of a call as soon as the child has room for it. Whoever calls it holds the
// right to write.
func (c *Conversation) send(call *Call, param Param) error {
	release := func() { <-c.writing }
	c.mu.Lock()
	c.writer = call
	c.mu.Unlock()
	c.wait(call, func() bool { return c.IsClosed() || c.admits(call) })
	c.mu.Lock()
	c.writer = nil
	if c.IsClosed() && call.err == nil {
		call.err = ErrClosed
	}
	if err := call.err; err != nil || c.lost {
		c.mu.Unlock()
		release()
		if err == nil {
			err = c.end()
		}
		return err
	}
	descriptors, err := frame.Duplicate(param.files)
	if err != nil {
		c.mu.Unlock()
		release()
		return &UnsentError{err}
	}
	c.last++
	call.number = c.last
	frame.SetCall(param.encoded, call.number, !c.begins(call))
	c.calls[call.number] = call
	c.queued += call.size
	c.mu.Unlock()

	if call.size <= largeParam {
		defer release()
		if err := c.write(call, descriptors, param.encoded); err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.finish(call)
			return &UnsentError{err}
		}
		return nil
	}
	// It may take long, and who cancels the call must not wait for it.
	go func() {
		defer release()
		_ = c.write(call, descriptors, param.encoded)
	}()
	return nil
}

// largeParam is what fits into any pipe for sure, in bytes. So whoever writes less to a child that has
// nothing else to do does not block.
const largeParam = 32 << 10

// admits tells whether a parameter may be sent: if the child can begin with it at once, or if it
// does not block who writes it. It needs mu.
func (c *Conversation) admits(call *Call) bool {
	return len(c.calls) < c.spec.Concurrency || c.queued+call.size <= c.room
}

// begins tells whether the child has begun with a call, or will at once: there are not enough others before
// it that keep it from that. It needs mu.
func (c *Conversation) begins(call *Call) bool {
	before := 0
	for number := range c.calls {
		if number < call.number {
			before++
		}
	}
	return before < c.spec.Concurrency
}

// write sends a parameter to the child, after its files.
func (c *Conversation) write(call *Call, descriptors []int, encoded []byte) error {
	if len(descriptors) > 0 {
		if c.p.Control == nil {
			return errors.ErrUnsupported
		}
		if err := frame.SendFiles(c.p.Control, call.number, descriptors); err != nil {
			return err
		}
	}
	pipe.Grow(c.p.Stdin, len(encoded))
	_, _ = c.p.Stdin.Write(encoded) // a child that does not take it does not answer either
	return nil
}

// cancel is what the end of its context does to a call. One that has not begun is withdrawn. The child has
// the grace period to answer one that has, if its function obeys to its context; otherwise it
// is killed.
func (c *Conversation) cancel(ctx context.Context, call *Call) {
	cause := context.Cause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.over || call.err != nil {
		return
	}
	begun := call.number != 0 && c.begins(call)
	if begun && !c.canCancel() {
		go c.p.Abort(cause) // whose answers its caller waits for
		return
	}
	c.abandon(call, &Cancelled{Cause: cause, Begun: begun})
	if call.number == 0 {
		return
	}
	if frame.Send(c.p.Control, frame.Cancellation(call.number, ctx), false) != nil {
		go c.p.Abort(cause)
		return
	}
	if begun {
		go c.oversee(call, cause)
	}
}

// abandon releases the caller of a call, whose answer will be dropped. It needs mu.
func (c *Conversation) abandon(call *Call, why error) {
	call.abandoned, call.err = true, why
	call.poke()
	if c.reader == call {
		c.p.Answer.Interrupt()
	}
}

// oversee has a call that was cancelled end within the grace period, or else the child.
func (c *Conversation) oversee(call *Call, cause error) {
	timer := time.AfterFunc(c.spec.Grace, func() { c.p.Abort(cause) })
	defer timer.Stop()
	overseer := newCall()
	c.wait(overseer, func() bool { return call.over })
}

// wait blocks until what is awaited is there, or will never be. Of those who wait, one reads for
// all. Function done needs mu.
func (c *Conversation) wait(call *Call, done func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !done() && !c.lost && call.err == nil {
		if c.reader == nil {
			c.reader = call
			c.mu.Unlock()
			f, err := c.read()
			c.mu.Lock()
			c.reader = nil
			c.deliver(f, err)
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

// read reads a frame. For a timeout, which is an interruption of the reader, or a late one of its predecessor,
// both the frame and the error are nil.
func (c *Conversation) read() (*frame.Frame, error) {
	f, err := c.frames.Next()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.p.Answer.Resume()
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if f.Files > 0 {
		c.receive(&f)
	}
	return &f, nil
}

// receive receives the files of an answer, which have been sent before it.
func (c *Conversation) receive(f *frame.Frame) {
	var descriptors []int
	lost := false
	for !lost && len(descriptors) < int(f.Files) {
		m, err := frame.Receive(c.p.Control)
		if err != nil || m.Call != f.Call {
			frame.CloseAll(m.Files)
			lost = true
			break
		}
		descriptors = append(descriptors, m.Files...)
		lost = m.Lost
	}
	f.Receive(descriptors, lost)
}

// deliver gives a frame to whom it may concern. It needs mu.
func (c *Conversation) deliver(f *frame.Frame, err error) {
	switch {
	case errors.Is(err, frame.ErrNames):
		c.lose(err)
		return
	case err != nil:
		c.lose(nil)
		return
	case f == nil:
		return
	case f.Kind != frame.Event && f.Kind != frame.Result:
		f.CloseFiles() // nobody has asked for them
	}
	switch {
	case f.Kind == frame.Ready && !c.ready && c.spec.Ready:
		c.ready = true
		return
	case f.Kind == frame.Refusal:
		c.word = f
		return
	}
	call := c.calls[f.Call]
	if call == nil {
		f.CloseFiles()
		c.lose(fmt.Errorf("frame of kind %q belongs to no call", byte(f.Kind)))
		return
	}
	switch {
	case f.Kind == frame.Event && !c.spec.Ready:
	case f.Kind == frame.Panicked:
		c.word = f
		c.finish(call)
	case f.Kind == frame.Result || f.Kind == frame.Failed || f.Kind == frame.Bad || f.Kind == frame.Withdrawn:
		c.finish(call)
	default:
		f.CloseFiles()
		c.lose(fmt.Errorf("frame of unknown kind %q", byte(f.Kind)))
		return
	}
	if call.abandoned {
		f.CloseFiles()
		return
	}
	call.answers = append(call.answers, *f)
	call.poke()
}

// finish ends a call, so that another one may be sent. It needs mu.
func (c *Conversation) finish(call *Call) {
	delete(c.calls, call.number)
	c.queued -= call.size
	call.over = true
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
