// Package process runs one child, with its pipes, and promises that nobody waits for it
// for ever: at the end of the context, or of a grace period, all waiting ends.
//
// The child may be an action, which answers on stdout, or a function, which answers on a
// pipe of its own. What it says is not this package's business. It is for package
// conversation, and for actions in the root. All methods are safe for concurrent
// use, but for those that say otherwise.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/pipe"
)

// A Spec is what a child is to be.
type Spec struct {
	Action  string      // its name
	Joins   birth.Joins // the namespaces
	Env     []string    // variables in addition to those of the parent
	Tune    func(*exec.Cmd)
	Unshare []string      // types of namespaces that the child gets new ones of, after Tune
	Sealed  bool          // it runs from a sealed copy of this program
	Stderr  io.Writer     // where stderr goes; nil: it is just kept
	Grace   time.Duration // how long the child may linger, and its descendants hold its pipes

	Input []byte // what stdin gives
	Open  bool   // stdin stays open after the input; without it, and without input, it is empty

	Roams       bool // it is not only the calling goroutine, or not on this thread, that waits for the child
	Ready       bool // the child is to say that it is ready
	Function    bool // the answers come on a pipe of their own, and stdout is the parent's
	Concurrency int  // how many calls a function serves at a time, told to the child
}

// A Process is a child, from its start until it is reaped.
type Process struct {
	Stdin   *os.File // parameters; nil if there are none
	Answer  *Reader  // stdout, or whatever the answers come from
	Control *os.File // socket to a function, where there is one; nil otherwise

	grace  time.Duration
	cmd    *exec.Cmd
	pid    int    // of the child; 0 if somebody else has reaped it already
	locked bool   // the calling goroutine is locked to its thread, until Close
	rest   []byte // what did not fit into stdin at once
	unborn error  // why the child is not where it should be
	stop   func() bool

	stderr listener

	status error // of the child's end: nil, *exec.ExitError, or an unknown one; guarded by exited
	exited chan struct{}

	mu          sync.Mutex
	killed      error         // why the child was killed, nil: it was not
	aborted     chan struct{} // closed when nothing more is awaited
	cut         error         // why
	lingerTimer *time.Timer   // of Linger
	abortTimer  *time.Timer   // of AbortAfterGrace
	until       time.Time     // limit of the use of the pipes, zero: none
}

// ErrLingers is why a child is killed that does not end after its answer.
var ErrLingers = errors.New("child lingers")

const (
	maxKept = 64 << 10 // bytes kept of each the beginning and the end of a stderr

	// A writer of stderr that blocks is not waited for any longer once a run is aborted.
	moment = 100 * time.Millisecond
)

// Start starts a child, from the calling thread, and returns once it is in its
// namespaces. Its error is that of a child that was not started, or, with an outcome,
// of one that has ended already without being where it should be.
//
// The end of ctx kills a child that is not in its namespaces by then; otherwise it is up to OnEnd. Wait and then Close, or just
// Close, must be called, and if the child does not roam, by the goroutine that has called Start.
func Start(ctx context.Context, spec Spec) (p *Process, outcome *Outcome, err error) {
	p = &Process{
		Answer:  &Reader{},
		grace:   spec.Grace,
		exited:  make(chan struct{}),
		aborted: make(chan struct{}),
		stop:    func() bool { return false },
	}
	p.stderr.init(spec.Stderr)
	if err := p.launch(ctx, spec); err != nil {
		close(p.exited)
		close(p.stderr.silent)
		p.Close()
		return nil, nil, err
	}
	if p.cmd.Process != nil {
		p.pid = p.cmd.Process.Pid // which is none any more once it is released
	}
	go p.stderr.listen()
	go p.reap()
	if p.unborn != nil {
		if errors.Is(p.unborn, birth.ErrKilled) {
			p.Abort(context.Cause(ctx))
			p.mu.Lock()
			p.killed = context.Cause(ctx) // it may have ended already
			p.mu.Unlock()
		}
		ended := p.Wait()
		p.Close()
		return nil, &ended, p.unborn
	}
	return p, nil, nil
}

// OnEnd calls f in a goroutine of its own at the end of ctx, unless Wait has returned.
func (p *Process) OnEnd(ctx context.Context, f func()) { p.stop = OnDone(ctx, f) }

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

// allSent is what Send returns where nothing is left to be sent.
var allSent = func() <-chan error {
	sent := make(chan error)
	close(sent)
	return sent
}()

// feed puts as much input into stdin as fits at once, usually all of it. So a
// child that fails early, and reads nothing, always fails in the same way, and
// is not sometimes too fast for its parent.
func (p *Process) feed(spec Spec) {
	n := 0
	if len(spec.Input) > 0 {
		pipe.Grow(p.Stdin, len(spec.Input))
		n, _ = writeNow(p.Stdin, spec.Input) // Send meets the error again
	}
	if p.rest = spec.Input[n:]; len(p.rest) == 0 && !spec.Open {
		_ = p.Stdin.Close()
	}
}

// Send writes to stdin what is left of the input, and then ends stdin. The channel
// then tells how that went. It is for children whose stdin does not stay open.
func (p *Process) Send() <-chan error {
	if len(p.rest) == 0 {
		return allSent
	}
	sent := make(chan error, 1)
	go func() {
		_, err := p.Stdin.Write(p.rest)
		_ = p.Stdin.Close()
		if isBroken(err) || errors.Is(err, os.ErrDeadlineExceeded) {
			// Which of both it is, is a matter of time after the child's end.
			err = fmt.Errorf("child did not read it to its end: %w", syscall.EPIPE)
		}
		sent <- err
	}()
	return sent
}
