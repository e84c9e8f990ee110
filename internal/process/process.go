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
	locked bool   // the calling goroutine is locked to its thread, until Close
	rest   []byte // what did not fit into stdin at once
	unborn error  // why the child is not where it should be
	stop   func() bool

	stderr listener

	status error // of the child's end: nil, *exec.ExitError, or an unknown one; guarded by exited
	exited chan struct{}

	mu       sync.Mutex
	killed   error         // why the child was killed, nil: it was not
	aborted  chan struct{} // closed when nothing more is awaited
	cut      error         // why
	endGrace *time.Timer   // of Linger
	endWait  *time.Timer   // of AbortAfterGrace
	until    time.Time     // limit of the use of the pipes, zero: none
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
// The end of ctx kills the child, until Wait returns. Wait and then Close, or just Close, must be
// called, from the same goroutine as Start.
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

// reap waits for the end of the child. From then on its descendants may keep its
// pipes for no longer than the grace period.
func (p *Process) reap() {
	status := wait(p.cmd)
	p.limit(time.Now().Add(p.grace))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
	close(p.exited)
}

// wait waits for a child. Where somebody else reaps it, who waits for any child, or
// where the parent ignores SIGCHLD, its status cannot be known (wait(2)).
func wait(cmd *exec.Cmd) error {
	err := error(syscall.ECHILD)
	if cmd.Process != nil {
		err = cmd.Wait()
	}
	if errors.Is(err, syscall.ECHILD) {
		if cmd.Process != nil {
			_ = cmd.Process.Release() // Wait does so only if it succeeds
		}
		return fmt.Errorf("status unknown, since somebody else has waited for the child: %w", err)
	}
	return err
}

// Kill kills the child, unless it has ended already. The first reason counts.
func (p *Process) Kill(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.exited:
	default:
		// It fails only if the child has just ended by itself.
		if p.cmd.Process != nil && p.cmd.Process.Kill() == nil && p.killed == nil {
			p.killed = why
		}
	}
}

// Abort kills the child, if it has not ended yet, and has nobody wait for anything
// more from it.
func (p *Process) Abort(why error) {
	p.Kill(why)
	p.mu.Lock()
	if p.cut == nil {
		p.cut = why
		close(p.aborted)
	}
	p.mu.Unlock()
	p.limit(time.Now())
}

// AbortAfterGrace grants the child the grace period, and then aborts it.
func (p *Process) AbortAfterGrace(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endWait == nil {
		p.endWait = time.AfterFunc(p.grace, func() { p.Abort(why) })
	}
}

// Linger grants the child the grace period and then kills it. Resume ends that, as if nothing had
// been said.
func (p *Process) Linger() (resume func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endGrace == nil {
		p.endGrace = time.AfterFunc(p.grace, func() { p.Kill(ErrLingers) })
	} else {
		p.endGrace.Reset(p.grace)
	}
	return func() { p.endGrace.Stop() }
}

// Exited is closed once the child is reaped.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// PID is that of the child; 0 if somebody else has reaped it already.
func (p *Process) PID() int {
	if p.cmd.Process == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// limit ends all waiting on the pipes at a point in time, unless it ends earlier
// already.
func (p *Process) limit(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.until.IsZero() && p.until.Before(until) {
		return
	}
	p.until = until
	// Where the system has no deadlines for pipes, they last until their end.
	if p.Stdin != nil {
		_ = p.Stdin.SetDeadline(until)
	}
	if p.Control != nil {
		_ = p.Control.SetDeadline(until)
	}
	p.Answer.limit(until)
	_ = p.stderr.pipe.file.SetDeadline(until)
}

// An Outcome tells how a child has ended.
type Outcome struct {
	Stderr string
	Killed error            // why it was killed; nil if it has ended by itself
	Cut    error            // why nobody waited for what its descendants still hold; nil if it was waited for
	Status error            // of its end: nil, *exec.ExitError, or an unknown one, which wraps ECHILD
	State  *os.ProcessState // how it has ended; nil if its status is unknown
	Relay  error            // why stderr could not be passed on
}

// Wait blocks until the child is reaped and nothing more is to come from it. Answers must
// have been read before. A writer of stderr that blocks, though, is waited for only as long as the run is not aborted.
func (p *Process) Wait() Outcome {
	<-p.exited
	select {
	case <-p.stderr.silent:
	case <-p.aborted:
		select {
		case <-p.stderr.silent:
		case <-time.After(moment):
		}
	}
	p.mu.Lock()
	for _, timer := range []*time.Timer{p.endGrace, p.endWait} {
		if timer != nil {
			timer.Stop()
		}
	}
	p.mu.Unlock()
	p.limit(time.Now()) // there is nobody any more to read the rest of stdin
	p.stop()

	p.mu.Lock()
	defer p.mu.Unlock()
	o := Outcome{Killed: p.killed, Cut: p.cut, Status: p.status, State: p.cmd.ProcessState}
	o.Stderr, o.Relay = p.stderr.heard()
	return o
}

// Close releases all that the child took. If it has not been waited for, as where a result's
// decoder panics, it is killed.
func (p *Process) Close() {
	select {
	case <-p.exited:
	default:
		p.Abort(os.ErrClosed)
		_ = p.Wait()
	}
	p.stop()
	for _, f := range []*os.File{p.Stdin, p.Control, p.Answer.file, p.stderr.pipe.file} {
		if f != nil {
			_ = f.Close()
		}
	}
	p.unlock()
}

// CatchUp blocks until what the child has written to stderr so far has been passed on,
// or until nobody waits any more.
func (p *Process) CatchUp(done <-chan struct{}) { p.stderr.catchUp(done, p.aborted) }
