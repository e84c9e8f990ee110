// Package child runs one child with its pipes, from the order that it gets to its end. No caller waits for
// ever: at the end of the context, or of a grace period, all waiting ends. The ways in which a child ends stand in
// end.go, the orders in orders.go: the parent gives them, and the child takes them.
//
// The child may be an action, which answers on stdout, or a function, which answers on a
// pipe of its own. What it says is not this package's business. The package is for package
// call, and for actions in the root. All methods are safe for concurrent
// use, but for those that say otherwise.
package child

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/sys"
)

// A Spec is what a child is to be.
type Spec struct {
	Action  string      // its name
	Joins   birth.Joins // the namespaces
	Env     []string    // variables in addition to those of the parent
	Tune    []func(*exec.Cmd)
	Unshare []string      // types of namespaces that the child gets new ones of, after Tune
	Sealed  bool          // it runs from a sealed copy of this program
	Stderr  io.Writer     // where stderr goes; nil: it is just kept
	Stdout  io.Writer     // where stdout of a function goes; nil: to that of the parent
	Grace   time.Duration // how long the child may linger, and its descendants hold its pipes

	Input [][]byte // what stdin gives; without, stdin of an action is empty

	Roams       bool // it is not only the calling goroutine, or not on this thread, that waits for the child
	Function    bool // the answers come on a pipe of their own, and stdout is the parent's
	Concurrency int  // how many calls a function serves at a time, until stdin ends; 0: it serves one call
}

// A Child is a child, from its start until it is reaped.
type Child struct {
	Stdin   *os.File // parameters; nil if there are none
	Answer  *Reader  // stdout, or whatever the answers come from
	Control *os.File // socket to a function, where there is one; nil otherwise

	grace  time.Duration
	target []birth.Target
	cmd    *exec.Cmd
	pid    int  // of the child; 0 if somebody else has reaped it already
	locked bool // the calling goroutine is locked to its thread, until Close
	input  *sys.Writing
	stdin  syscall.RawConn
	unborn error // why the child is not where it should be
	stop   func() bool

	outputs []*output // stderr, and perhaps stdout

	exited chan struct{} // closed once the child is reaped
	stuck  chan struct{} // closed when the child was killed and has not ended
	left   chan struct{} // closed when the caller has left

	mu          sync.Mutex // guards what follows
	status      error      // of the child's end: nil, *exec.ExitError, or an unknown one
	ended       time.Time  // when it was reaped
	killed      error      // why the child was killed, nil: it was not
	leftFor     error      // why the caller has left
	until       time.Time  // limit of the use of the pipes, zero: none
	lingerTimer *time.Timer
	leaveTimer  *time.Timer
	stuckTimer  *time.Timer
}

// Start starts a child, from the calling thread, and returns once it is in its
// namespaces. Its error is that of a child that was not started, or, with an outcome,
// of one that has ended already without being where it should be.
//
// The end of ctx kills a child that is not in its namespaces by then; otherwise it is up to OnEnd. Wait and then Close, or just
// Close, must be called, and if the child does not roam, by the goroutine that has called Start.
func Start(ctx context.Context, spec Spec) (c *Child, outcome *Outcome, err error) {
	c = &Child{
		Answer:  &Reader{},
		grace:   spec.Grace,
		target:  spec.Joins.Targets,
		exited:  make(chan struct{}),
		stuck:   make(chan struct{}),
		left:    make(chan struct{}),
		outputs: []*output{newOutput("stderr", spec.Stderr)},
		stop:    func() bool { return false },
	}
	if spec.Stdout != nil {
		c.outputs = append(c.outputs, newOutput("stdout", spec.Stdout))
	}
	if err := c.launch(ctx, spec); err != nil {
		close(c.exited)
		c.Close()
		return nil, nil, err
	}
	if c.cmd.Process != nil {
		c.pid = c.cmd.Process.Pid // which is none any more once it is released
	}
	for _, o := range c.outputs {
		go o.listen()
	}
	go c.reap(spec.Action)
	if c.unborn != nil {
		if errors.Is(c.unborn, birth.ErrKilled) {
			c.Leave(context.Cause(ctx))
			c.mu.Lock()
			c.killed = context.Cause(ctx) // it may have ended already
			c.mu.Unlock()
		}
		c.OnEnd(ctx, func() { c.Leave(context.Cause(ctx)) }) // its stderr may not get on
		ended := c.Wait()
		c.Close()
		return nil, &ended, c.unborn
	}
	return c, nil, nil
}

// OnEnd calls f in a goroutine of its own at the end of ctx, unless Wait has returned.
func (c *Child) OnEnd(ctx context.Context, f func()) { c.stop = OnDone(ctx, f) }

// OnDone calls f in a goroutine of its own once ctx is done. After stop f neither
// runs nor will run; stop tells whether it ran, also when it is called again.
func OnDone(ctx context.Context, f func()) (stop func() (ran bool)) {
	if ctx.Done() == nil { // as for the background context
		return func() bool { return false }
	}
	done := make(chan struct{})
	stopped := context.AfterFunc(ctx, func() {
		defer close(done)
		f()
	})
	return sync.OnceValue(func() bool {
		if stopped() {
			return false
		}
		<-done
		return true
	})
}

// WillWrite prepares to write to stdin.
func (c *Child) WillWrite(w *sys.Writing, parts [][]byte) {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	sys.GrowPipe(c.Stdin, size)
	w.Init(c.stdin, parts)
}

// Send writes to stdin what is left of the input, and then ends stdin. The channel
// then tells how that went. It is for actions.
func (c *Child) Send() <-chan error {
	sent := make(chan error, 1)
	switch {
	case c.input == nil:
		sent <- nil
	case c.input.Done():
		sent <- c.Stdin.Close()
	default:
		go func() {
			err := c.input.Wait()
			_ = c.Stdin.Close()
			sent <- err
		}()
	}
	return sent
}
