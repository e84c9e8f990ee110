// Package child runs one child with its pipes, from the order that it gets to its end. No caller waits for
// ever: at the end of the context, or of a grace period, all waiting ends. The ways in which a child ends stand in
// end.go, the orders in orders.go: the parent gives them, and the child takes them.
//
// The child may be an action, which answers on stdout, or a function, which answers on a
// pipe of its own. What a function says is the business of package
// call; the JSON of an action is decoded here (decode.go). The package is for package
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
	Grace   time.Duration // how long the child may go on after its answer, and descendants may hold its pipes after its end

	Input []byte // what stdin of an action gives; nil: it is empty

	Function    bool // the answers come on a pipe of their own, stdout is the parent's, and stdin is written to later
	Concurrency int  // how many calls a function serves at a time, until stdin ends; 0: it serves one call
}

// A Child is one from its start until it is reaped.
type Child struct {
	Stdin   *os.File // parameters; nil if there are none
	Answer  *Reader  // stdout of an action, or a function's pipe for answers
	Control *os.File // socket to a function, where there is one; nil otherwise

	grace   time.Duration
	targets []*birth.Process
	cmd     *exec.Cmd
	attr    syscall.SysProcAttr // of cmd
	pid     int                 // 0 if other code has reaped the child before Start returned
	stdin   syscall.RawConn
	unborn  error // why the child is not where it should be
	stderr  output
	outputs []*output // stderr, and perhaps stdout

	input  sys.Writing
	unread error          // why the input was not read to its end
	fed    sync.WaitGroup // done when nothing more of the input is written; then unread is known

	exited chan struct{}   // closed when the child is reaped
	stuck  context.Context // ends when the child was killed and has not ended in time
	left   context.Context // ends when the caller has left; its cause is why
	giveUp context.CancelFunc
	letGo  context.CancelCauseFunc

	mu     sync.Mutex    // guards what follows
	status error         // of the child's end: nil, *exec.ExitError, or an unknown one
	ended  time.Time     // when it was reaped
	killed error         // why the child was killed, nil: it was not
	stops  []func() bool // stop what is to happen before Wait returns
}

// Start starts a child and returns when it is in its namespaces. An error without an outcome says why no child was
// started; one with an outcome says why the child is not where it should be, and the child has ended.
//
// The calling thread starts the child, so that the child inherits what that thread has; a child with Pdeathsig only if the
// goroutine is locked to the thread. The end of ctx kills a child that is not in its namespaces by then; after that, OnEnd
// does. Wait and then Close, or just Close, must be called.
func Start(ctx context.Context, spec Spec) (*Child, *Outcome, error) {
	c := &Child{
		grace:   spec.Grace,
		targets: spec.Joins.Targets,
		Answer:  new(Reader),
		exited:  make(chan struct{}),
	}
	c.stuck, c.giveUp = context.WithCancel(context.Background())
	c.left, c.letGo = context.WithCancelCause(context.Background())
	c.outputs = []*output{c.stderr.init("stderr", spec.Stderr)}
	c.stderr.action = spec.Action
	if spec.Stdout != nil {
		c.outputs = append(c.outputs, new(output).init("stdout", spec.Stdout))
	}
	if err := c.launch(ctx, spec); err != nil {
		close(c.exited)
		c.Close()
		return nil, nil, err
	}
	if c.cmd.Process != nil {
		c.pid = c.cmd.Process.Pid // package os forgets it when the child is reaped
	}
	for _, o := range c.outputs {
		go o.listen()
	}
	go c.reap(spec.Action)
	c.feed()
	if c.unborn == nil {
		return c, nil, nil
	}
	c.OnEnd(ctx, func() { c.Leave(context.Cause(ctx)) }) // the writer of its stderr may block
	ended := c.Wait()
	c.Close()
	if errors.Is(c.unborn, birth.ErrKilled) {
		ended.Killed = context.Cause(ctx) // it may have ended already
	}
	return nil, &ended, c.unborn
}

// OnEnd calls f in a goroutine of its own at the end of ctx, unless Wait has returned.
func (c *Child) OnEnd(ctx context.Context, f func()) {
	if ctx.Done() != nil {
		c.untilEnd(context.AfterFunc(ctx, f))
	}
}

// untilEnd makes Wait call stop before it returns.
func (c *Child) untilEnd(stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stops = append(c.stops, stop)
}

// WillWrite prepares to write to stdin.
func (c *Child) WillWrite(w *sys.Writing, parts [][]byte) {
	for _, o := range c.outputs {
		_ = o.failed() // its lock orders what the caller did with a writer before what the writer does from now on
	}
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	sys.GrowPipe(c.Stdin, size)
	w.Init(c.stdin, parts)
}

// feed writes to stdin what is left of an action's input, and then ends stdin.
func (c *Child) feed() {
	if c.Control == nil && c.Stdin != nil {
		c.fed.Go(func() {
			c.unread = c.input.Wait()
			_ = c.Stdin.Close()
		})
	}
}
