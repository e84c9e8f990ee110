package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/sys"
	"example.com/gons/reexec/internal/testsupport"
)

// A child ends in one of these ways.
//
//   - By itself. Its descendants may hold its pipes for the grace period; Wait waits as long.
//   - After its answer: Linger gives it the grace period, and then it is killed.
//   - Because its caller has left: Leave kills it, LeaveAfterGrace first gives it the grace period. Then what its
//     descendants hold, and a writer of stderr that does not get on, are not waited for any more.
//   - Not at all: the kernel does not end a child that waits for a file system that does not answer (state D in ps(1)),
//     or that is in a frozen cgroup of version 1. A moment after it was killed Wait gives it up, and the goroutine that
//     waits for the child stays until it has ended.

var (
	// ErrLingers is why a child is killed that does not end after its answer.
	ErrLingers = errors.New("child lingers")

	// ErrStuck is the status of a child that was killed and does not end.
	ErrStuck = errors.New("child was killed, and does not end (it may wait for a file system that does not answer, or be in a frozen cgroup)")
)

const (
	maxKept = 64 << 10 // bytes kept of each the beginning and the end of an output

	// moment is how long the passing on of an output may stand still once the caller has left.
	moment = 100 * time.Millisecond

	// stuckAfter is how long a child that was killed may take to end. Usually it takes milliseconds, but machines may be busy.
	stuckAfter = 3 * time.Second
)

// reap waits for the end of the child. It is a goroutine.
func (c *Child) reap(action string) {
	status := testsupport.Explain(action, wait(c.cmd))
	c.mu.Lock()
	c.status, c.ended = status, time.Now()
	close(c.exited)
	if c.stuckTimer != nil {
		c.stuckTimer.Stop()
	}
	c.mu.Unlock()
	if c.Control != nil {
		c.Answer.limit(time.Now()) // a function's answers are out of its descendants' reach
	}
	select {
	case <-c.left:
		c.limit(time.Now())
	default:
		c.limit(time.Now().Add(c.grace))
	}
}

// wait waits for a child. Its status cannot be known where the parent ignores SIGCHLD, or waits for any child elsewhere
// (wait(2)).
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

// kill kills the child, unless it has ended already. The first reason counts.
func (c *Child) kill(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.exited:
		return
	default:
	}
	if c.cmd.Process == nil {
		return
	}
	// Until it is reaped this succeeds even if the child has just ended by itself.
	err := c.cmd.Process.Kill()
	if err == nil && c.killed == nil {
		c.killed = why
	}
	if !errors.Is(err, os.ErrProcessDone) && c.stuckTimer == nil {
		c.stuckTimer = time.AfterFunc(stuckAfter, func() {
			close(c.stuck)
			c.limit(time.Now())
		})
	}
}

// Linger gives the child the grace period and then kills it. Resume ends that, as if nothing had
// been said.
func (c *Child) Linger() (resume func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lingerTimer == nil {
		c.lingerTimer = time.AfterFunc(c.grace, func() { c.kill(ErrLingers) })
	} else {
		c.lingerTimer.Reset(c.grace)
	}
	return func() { c.lingerTimer.Stop() }
}

// Leave kills the child, if it has not ended yet. Nothing more is awaited from it.
func (c *Child) Leave(why error) {
	c.kill(why)
	c.LetGo(why)
	c.limit(time.Now())
}

// LeaveAfterGrace gives the child the grace period, and then kills it; it also lets go.
func (c *Child) LeaveAfterGrace(why error) {
	c.mu.Lock()
	if c.leaveTimer == nil {
		c.leaveTimer = time.AfterFunc(c.grace, func() { c.Leave(why) })
	}
	c.mu.Unlock()
	c.LetGo(why)
}

// LetGo has nothing awaited that is there after the end of the child. The first reason counts.
func (c *Child) LetGo(why error) {
	c.mu.Lock()
	if c.leftFor == nil {
		c.leftFor = why
		close(c.left)
	}
	c.mu.Unlock()
	select {
	case <-c.exited:
		c.limit(time.Now())
	default:
	}
}

// Exited is closed once the child is reaped.
func (c *Child) Exited() <-chan struct{} { return c.exited }

// PID is that of the child, also after its end; 0 if somebody else has reaped it before Start returned.
func (c *Child) PID() int { return c.pid }

// limit ends all waiting on the pipes at a point in time, unless it ends earlier
// already.
func (c *Child) limit(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.until.IsZero() && c.until.Before(until) {
		return
	}
	c.until = until
	for _, f := range []*os.File{c.Stdin, c.Control} {
		if f != nil {
			_ = f.SetDeadline(until)
		}
	}
	c.Answer.limit(until)
	for _, o := range c.outputs {
		o.pipe.limit(until)
	}
}

// An Outcome tells how a child has ended.
type Outcome struct {
	Stderr string
	Killed error            // why it was killed; nil if it has ended by itself
	Left   error            // why what its descendants still hold was not waited for; nil if it was
	Status error            // of its end: nil, *exec.ExitError, an unknown one, which wraps ECHILD, or ErrStuck
	State  *os.ProcessState // how it has ended; nil if its status is unknown
	Ended  time.Time        // when it was reaped
	Relay  error            // why stderr or stdout could not be passed on
}

// Wait blocks until the child is reaped and nothing more is to come from it. Answers must
// have been read before.
func (c *Child) Wait() Outcome {
	c.awaitEnd()
	for _, o := range c.outputs {
		o.finish(c.left)
	}
	c.mu.Lock()
	for _, timer := range []*time.Timer{c.lingerTimer, c.leaveTimer} {
		if timer != nil {
			timer.Stop()
		}
	}
	c.mu.Unlock()
	c.limit(time.Now()) // nothing reads the rest of stdin any more
	c.stop()
	return c.outcome()
}

// awaitEnd blocks until the child is reaped, or is given up.
func (c *Child) awaitEnd() {
	select {
	case <-c.exited:
	case <-c.stuck:
	}
}

// Died blocks until the child is reaped, and tells how it has ended. Of its output it waits only for what the child itself has
// written, and only as long as the passing on gets on. The output goes on after that.
func (c *Child) Died() Outcome {
	c.awaitEnd()
	for _, o := range c.outputs {
		o.catchUp(moment, nil, nil)
	}
	return c.outcome()
}

func (c *Child) outcome() Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := Outcome{Killed: c.killed, Left: c.leftFor, Status: c.status}
	select {
	case <-c.exited:
		o.State, o.Ended = c.cmd.ProcessState, c.ended
		if c.killed == nil && sys.EndedBy(o.State) == syscall.SIGKILL {
			o.Status = c.blame(o.Status)
		}
	default:
		o.Status = ErrStuck
	}
	o.Stderr, o.Relay = c.outputs[0].excerpt(), c.relay()
	return o
}

// blame adds to the status of a child that something has killed that a target has ended: a PID namespace ends with its first process.
func (c *Child) blame(status error) error {
	for _, target := range c.target {
		if ended := target.Process.Ended(); ended != nil {
			return fmt.Errorf("%w (%w)", status, ended)
		}
	}
	return status
}

// Close releases all that the child took. If it has not been waited for, as where a result's
// decoder panics, it is killed.
func (c *Child) Close() {
	select {
	case <-c.exited:
	case <-c.stuck:
	default:
		c.Leave(os.ErrClosed)
		_ = c.Wait()
	}
	c.stop()
	for _, o := range c.outputs {
		o.drop(nil) // whatever a writer that blocks does then
		sys.CloseAll(o.pipe.file)
	}
	sys.CloseAll(c.Stdin, c.Control, c.Answer.file)
	c.unlock()
}

// CatchUp blocks until what the child has printed so far has been passed on, or until nothing is awaited any more. It
// returns why that was not passed on.
func (c *Child) CatchUp(done <-chan struct{}) (relay error) {
	for _, o := range c.outputs {
		o.catchUp(0, done, c.left)
	}
	return c.relay()
}

// relay returns why stderr or stdout was not passed on, or nil.
func (c *Child) relay() error {
	for _, o := range c.outputs {
		if err := o.failed(); err != nil {
			return err
		}
	}
	return nil
}
