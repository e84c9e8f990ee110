package child

import (
	"errors"
	"fmt"
	"os/exec"
	"time"

	"example.com/gons/reexec/internal/sys"
	"example.com/gons/reexec/internal/testsupport"
)

// A child ends in one of these ways, as its parent sees it; package call has those in which the child of a function ends itself.
//
//   - By itself. Its descendants may hold its pipes for the grace period; Wait waits as long.
//   - After its answer: Linger gives it the grace period, and then it is killed.
//   - Because its caller has left: Leave kills it at once, LeaveAfterGrace after the grace period. Then Wait does not wait
//     for descendants that hold its pipes, nor for a writer of stderr that blocks.
//   - Not at all: the kernel does not end a child that waits for a file system that does not answer (state D in ps(1)),
//     or that is in a frozen cgroup of version 1. Some seconds after the kill Wait gives the child up. The goroutine that
//     waits for the child stays until it ends.

var (
	// ErrLingers is why a child is killed that does not end after its answer.
	ErrLingers = errors.New("child lingers")

	// ErrStuck is the status of a child that was killed and does not end.
	ErrStuck = errors.New("child was killed, and does not end (it may wait for a file system that does not answer, or be in a frozen cgroup)")
)

const (
	maxKept = 64 << 10 // bytes kept of each the beginning and the end of an output

	// moment is how long a writer may block after the end of the child, or after its caller has left.
	moment = 500 * time.Millisecond

	// stuckAfter is how long a child that was killed may take to end. Usually it takes milliseconds, but machines may be busy.
	stuckAfter = 3 * time.Second
)

// reap waits for the end of the child. It is a goroutine.
func (c *Child) reap(action string) {
	status := testsupport.Explain(action, wait(c.cmd))
	c.mu.Lock()
	c.status, c.ended = status, time.Now()
	close(c.exited)
	c.mu.Unlock()
	if c.Control != nil {
		c.Answer.limit(time.Now()) // a function's answers are out of its descendants' reach
	}
	until := time.Now()
	if c.left.Err() == nil {
		until = until.Add(c.grace)
	}
	c.limit(until)
}

// wait waits for a child. Its status cannot be known where the parent ignores SIGCHLD, or waits for any child elsewhere
// (wait(2)).
func wait(cmd *exec.Cmd) error {
	err := error(sys.ECHILD)
	if cmd.Process != nil {
		err = cmd.Wait()
	}
	if errors.Is(err, sys.ECHILD) {
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
	if IsClosed(c.exited) || c.cmd.Process == nil {
		return
	}
	// Until it is reaped this succeeds even if the child has just ended by itself.
	if err := c.cmd.Process.Kill(); err == nil && c.killed == nil {
		c.killed = why
	}
	c.stops = append(c.stops, time.AfterFunc(stuckAfter, func() {
		if !IsClosed(c.exited) {
			c.giveUp()
			c.limit(time.Now())
		}
	}).Stop)
}

// Linger gives the child the grace period and then kills it, unless the timer is stopped.
func (c *Child) Linger() *time.Timer { return c.killAfterGrace(ErrLingers) }

// Leave kills the child, unless it has ended, and ends all waiting for its pipes.
func (c *Child) Leave(why error) {
	c.kill(why)
	c.LetGo(why)
	c.limit(time.Now())
}

// LeaveAfterGrace lets go at once, and kills after the grace period. The first reason counts.
func (c *Child) LeaveAfterGrace(why error) {
	if c.left.Err() == nil {
		c.killAfterGrace(why)
	}
	c.LetGo(why)
}

func (c *Child) killAfterGrace(why error) *time.Timer {
	timer := time.AfterFunc(c.grace, func() { c.kill(why) })
	c.untilEnd(timer.Stop)
	if IsClosed(c.exited) {
		timer.Stop() // or it would keep all that belongs to the child as long, as Wait may have returned
	}
	return timer
}

// LetGo ends the waiting for the child's pipes at its end, without the grace period. The first reason counts.
func (c *Child) LetGo(why error) {
	c.letGo(why)
	if IsClosed(c.exited) {
		c.limit(time.Now())
	}
}

// Exited is closed when the child is reaped.
func (c *Child) Exited() <-chan struct{} { return c.exited }

// PID is that of the child, also after its end. It is 0 if other code has reaped the child before Start returned.
func (c *Child) PID() int { return c.pid }

// limit ends all waiting for the pipes at this time. An earlier limit stays.
func (c *Child) limit(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stderr.pipe.limit(until) {
		return
	}
	_, _ = c.Stdin.SetDeadline(until), c.Control.SetDeadline(until) // or nothing: nil
	c.Answer.limit(until)
	for _, o := range c.outputs[1:] {
		o.pipe.limit(until)
	}
}

// IsClosed tells whether a channel on which nothing is sent is closed.
func IsClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
