package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

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
		// Until it is reaped this succeeds even if the child has just ended by itself.
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

// AbortAtEnd waits for the end of the child, and aborts as soon as its stderr has been passed on, or that has not got on
// for a moment.
func (p *Process) AbortAtEnd(why error) {
	<-p.exited
	for before, now := int64(-1), p.stderr.progress(); now > before && !p.isAborted(); {
		p.hush()
		before, now = now, p.stderr.progress()
	}
	p.Abort(why)
}

func (p *Process) isAborted() bool {
	select {
	case <-p.aborted:
		return true
	default:
		return false
	}
}

// hush waits until stderr has been passed on, but only for a moment.
func (p *Process) hush() {
	select {
	case <-p.stderr.silent:
	case <-time.After(moment):
	}
}

// AbortAfterGrace grants the child the grace period, and then aborts it.
func (p *Process) AbortAfterGrace(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.abortTimer == nil {
		p.abortTimer = time.AfterFunc(p.grace, func() { p.Abort(why) })
	}
}

// Linger grants the child the grace period and then kills it. Resume ends that, as if nothing had
// been said.
func (p *Process) Linger() (resume func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lingerTimer == nil {
		p.lingerTimer = time.AfterFunc(p.grace, func() { p.Kill(ErrLingers) })
	} else {
		p.lingerTimer.Reset(p.grace)
	}
	return func() { p.lingerTimer.Stop() }
}

// Exited is closed once the child is reaped.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// PID is that of the child, also after its end; 0 if somebody else has reaped it before Start returned.
func (p *Process) PID() int { return p.pid }

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
		p.hush()
	}
	p.mu.Lock()
	for _, timer := range []*time.Timer{p.lingerTimer, p.abortTimer} {
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
