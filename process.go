package reexec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/orders"
	"example.com/gons/reexec/internal/testsupport"
)

// A process is a child as its parent sees it, from its start until it is reaped.
type process struct {
	pipes
	cmd    *exec.Cmd
	grace  time.Duration
	locked bool   // the calling goroutine is locked to its thread, until close
	rest   []byte // what did not fit into stdin at once

	said     excerpt       // what came from stderr
	relayErr error         // why the caller's writer did not take it
	silent   chan struct{} // closed after the end of stderr; guards said and relayErr

	status error         // of the child's end: nil, *exec.ExitError, or why it could not be learnt
	exited chan struct{} // closed once the child is reaped; guards status

	mu       sync.Mutex
	killed   error       // why the child was killed, nil: it was not
	aborted  error       // why nothing more is awaited, nil: it is
	endGrace *time.Timer // of linger
}

// errLingers is why a child is killed that does not end after its answer.
var errLingers = errors.New("child lingers")

// errReaped is the status of a child that somebody else has reaped, before this package
// could take hold of it.
var errReaped = fmt.Errorf("status unknown: %w", syscall.ECHILD)

const (
	maxSaid   = 64 << 10 // bytes kept of each the beginning and the end of a stderr
	maxQuoted = 128      // the same of an undecodable answer
)

// start starts a child with all its pipes and goroutines. Its stdin gives input,
// and then end of file unless it stays open. Without either it is /dev/null.
//
// The child is started from the calling thread, whenever it matters, so it
// inherits the namespaces which that thread is in.
func (a *ReexecAction) start(ctx context.Context, input []byte, open bool) (*process, error) {
	p := &process{
		grace:  defaultGrace,
		said:   excerpt{limit: maxSaid},
		silent: make(chan struct{}),
		exited: make(chan struct{}),
	}
	if a.grace != nil {
		p.grace = *a.grace
	}
	err := a.launch(ctx, p, input, open)
	if p.cmd == nil {
		close(p.exited)
		p.close()
		return nil, a.failure("cannot start child, reason: "+err.Error(), "", err)
	}
	go p.listen(a.stderr)
	go p.reap()
	if err != nil {
		if err == birth.ErrKilled {
			p.killed = context.Cause(ctx)
		}
		p.await()
		p.close()
		return nil, a.unborn(p.outcome(), err)
	}
	return p, nil
}

// launch makes the pipes of a child and starts it.
func (a *ReexecAction) launch(ctx context.Context, p *process, input []byte, open bool) (err error) {
	if err := birth.CannotStart(); err != nil {
		return err
	}
	refs, opened, err := a.references()
	defer func() { birth.Close(opened) }()
	if err != nil {
		return err
	}
	path, err := executable()
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{
		Path: path,
		Args: slices.Clone(os.Args[:min(1, len(os.Args))]),
		Env:  append(os.Environ(), a.Environment...),
	}
	if a.tune != nil {
		a.tune(cmd)
	}
	if cmd.Env == nil { // which means the parent's own to package exec
		cmd.Env = os.Environ()
	}
	cmd.Env = orders.Clean(cmd.Env)
	cmd.ExtraFiles = slices.Clip(cmd.ExtraFiles) // what is appended is ours alone

	pipes := 2
	if input != nil || open {
		pipes = 3
	}
	r, w, err := makePipes(pipes)
	if err != nil {
		return err
	}
	p.answer.file, p.stderr.file = r[0], r[1]
	theirs := [3]*os.File{w[0], w[1]}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, w[0], w[1]
	if pipes == 3 {
		p.stdin = w[2]
		cmd.Stdin = r[2]
		theirs[2] = r[2]
	}
	defer closeAll(theirs[:pipes])
	if !open {
		p.feed(input)
	}
	order := orders.Orders{Action: a.ActionName}
	if a.isFunc {
		cmd.Stdout = os.Stdout
		order.Ready = open
		if order.Answers, err = inherit(cmd, w[0]); err != nil {
			return err
		}
	}
	testsupport.Cover(cmd)
	watched, err := takeDeathSignal(cmd, &order)
	if err != nil {
		return err
	}
	defer closeAll(watched)
	cmd.Env = append(cmd.Env, order.Vars()...)
	start := func() { p.cmd, err = birth.Start(ctx, cmd, refs) }
	if order.Death == 0 {
		start()
	} else {
		p.startOnLastingThread(open, start)
	}
	if p.cmd == nil {
		err = explainNew(cmd, err)
	}
	return err
}

// startOnLastingThread has start start a child, on a thread that lives as long as the child,
// since the kernel means that thread when it speaks of the parent's end
// (https://go.dev/issue/27505). Usually it is the calling thread, so that the child
// inherits what that one has. A worker outlives the call; but a goroutine that is not locked
// to a thread may be on any, and so one of its own will do. A goroutine that is locked knows what it does.
func (p *process) startOnLastingThread(worker bool, start func()) {
	switch {
	case !worker:
		runtime.LockOSThread()
		p.locked = true
		start()
	case isLocked():
		start()
	default:
		started := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			start()
			close(started)
			<-p.exited
		}()
		<-started
	}
}

// isLocked tells whether the calling goroutine is locked to its thread. Only its
// stack trace says so: "goroutine 1 [running, locked to thread]:".
func isLocked() bool {
	trace := make([]byte, 128)
	header, _, _ := bytes.Cut(trace[:runtime.Stack(trace, false)], []byte("\n"))
	return bytes.Contains(header, []byte("locked to thread"))
}

// makePipes makes so many pipes, three at the most, or none at all.
func makePipes(n int) (readers, writers [3]*os.File, err error) {
	for i := range n {
		if readers[i], writers[i], err = os.Pipe(); err != nil {
			closeAll(readers[:i])
			closeAll(writers[:i])
			break
		}
	}
	return readers, writers, err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// feed puts as much input into stdin as fits at once, usually all of it. So a
// child that fails early, and reads nothing, always fails in the same way, and
// is not sometimes too fast for its parent.
func (p *process) feed(input []byte) {
	if len(input) == 0 {
		return
	}
	growPipe(p.stdin, len(input))
	n, _ := writeNow(p.stdin, input) // send meets the error again
	if p.rest = input[n:]; len(p.rest) == 0 {
		_ = p.stdin.Close()
	}
}

// allSent is what send returns where nothing is left to be sent.
var allSent = func() <-chan error {
	sent := make(chan error)
	close(sent)
	return sent
}()

// send writes to stdin what feed has left over, and then ends it. The channel
// then tells how that went.
func (p *process) send() <-chan error {
	if len(p.rest) == 0 {
		return allSent
	}
	sent := make(chan error, 1)
	go func() {
		_, err := p.stdin.Write(p.rest)
		_ = p.stdin.Close()
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrDeadlineExceeded) {
			// Which of both it is, is a matter of time after the child's end.
			err = fmt.Errorf("child did not read it to its end: %w", syscall.EPIPE)
		}
		sent <- err
	}()
	return sent
}

// listen reads stderr to its end, keeps an excerpt of it, and passes it on to w,
// if there is one.
func (p *process) listen(w io.Writer) {
	defer close(p.silent)
	buffer := make([]byte, 4096)
	for {
		n, err := p.stderr.Read(buffer)
		_, _ = p.said.Write(buffer[:n])
		if w != nil && p.relayErr == nil && n > 0 {
			_, p.relayErr = w.Write(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

// reap waits for the end of the child. From then on its descendants may keep its
// pipes for no longer than the grace period.
func (p *process) reap() {
	status := errReaped
	if p.cmd.Process != nil {
		status = p.cmd.Wait()
	}
	p.limit(time.Now().Add(p.grace))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
	close(p.exited)
}

// kill kills the child, unless it has ended already. The first reason counts.
func (p *process) kill(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.exited:
	default:
		// It fails only if the child has just ended by itself. Who has been reaped by
		// somebody else is not there to be killed.
		if p.cmd.Process != nil && p.cmd.Process.Kill() == nil && p.killed == nil {
			p.killed = why
		}
	}
}

// abort kills the child, if it has not ended yet, and has nobody wait for anything
// more from it.
func (p *process) abort(why error) {
	p.kill(why)
	p.mu.Lock()
	if p.aborted == nil {
		p.aborted = why
	}
	p.mu.Unlock()
	p.limit(time.Now())
}

// linger grants the child the grace period and then kills it.
func (p *process) linger() {
	p.endGrace = time.AfterFunc(p.grace, func() { p.kill(errLingers) })
}

// decode decodes the answer into result and reads on to the end of file. With an
// error it returns an excerpt of all that it has read. The child may linger after its
// answer, and also after one that makes no sense.
func (p *process) decode(result any) (answer string, err error) {
	if result == nil {
		_, _ = io.Copy(io.Discard, &p.answer)
		return "", nil
	}
	seen := excerpt{limit: maxQuoted}
	from := io.TeeReader(&p.answer, &seen)
	err = json.NewDecoder(from).Decode(result)
	p.linger()
	_, _ = io.Copy(io.Discard, from)
	if err != nil {
		answer = seen.String()
	}
	return answer, err
}

// close closes the pipes. It is for the goroutine that has started the child.
func (p *process) close() {
	p.pipes.close()
	if p.locked {
		p.locked = false
		runtime.UnlockOSThread()
	}
}

// await blocks until the child is reaped and nothing more is to come from it.
func (p *process) await() {
	<-p.silent
	<-p.exited
	if p.endGrace != nil {
		p.endGrace.Stop()
	}
	p.limit(time.Now()) // there is nobody any more to read the rest of stdin
}

// An outcome tells how a child has ended.
type outcome struct {
	stderr string
	killed error // why it was killed; nil if it has ended by itself
	cut    error // why its context has nobody wait for what its descendants still hold; nil if it does not
	status error // of its end: nil, *exec.ExitError, or why it could not be learnt
	relay  error // why stderr could not be passed on
}

// outcome returns how the child has ended; after await.
func (p *process) outcome() outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	return outcome{
		stderr: testsupport.WithoutWarnings(p.said.String()),
		killed: p.killed,
		cut:    p.aborted,
		status: p.status,
		relay:  p.relayErr,
	}
}

// forgive makes no failure of it that the child was killed for this reason. If it
// had done what it was asked for, nor does the status that it got by that matter.
func (o *outcome) forgive(why error, done bool) {
	if o.killed != why {
		return
	}
	o.killed = nil
	if done && endedByKill(o.status) {
		o.status = nil
	}
}

// ended returns the error of a run that has no other error than the outcome.
func (a *ReexecAction) ended(o outcome) error {
	switch {
	case o.killed != nil:
		return a.failure("child was killed, reason: "+o.killed.Error(), o.stderr, o.killed, o.status)
	case o.status != nil:
		return a.failure("child failed, reason: "+o.status.Error(), o.stderr, o.status)
	case o.relay != nil:
		return a.failure("cannot pass on stderr of child, reason: "+o.relay.Error(), o.stderr, o.relay)
	}
	return nil
}

// verdict tells whether the run of an action has failed, and if so, why: the texts
// come in the order of their importance.
func (a *ReexecAction) verdict(p *process, sendErr, decodeErr error, answer string) error {
	o := p.outcome()
	o.forgive(errLingers, decodeErr == nil)
	if errors.Is(decodeErr, errHeld) && o.cut != nil {
		o.killed = o.cut
	}
	if o.killed != nil {
		return a.ended(o)
	}
	var spoke error
	if o.stderr != "" && a.stderr == nil {
		spoke = errSpoke
	}
	// Whether a child reads its parameter is its own affair, as long as it does
	// what it is asked for.
	if decodeErr == nil && (a.Result != nil || (spoke == nil && o.status == nil)) {
		sendErr = nil
	}

	var what string
	switch {
	case spoke != nil:
		what = fmt.Sprintf("child failed with stderr message %q", o.stderr)
	case decodeErr != nil:
		what = fmt.Sprintf("cannot decode child result, reason: %v, child wrote %q", decodeErr, answer)
		if o.status != nil {
			what += ", " + o.status.Error()
		}
	case sendErr == nil:
		return a.ended(o)
	case o.status != nil:
		what = o.status.Error()
	}
	if sendErr != nil {
		what = fmt.Sprintf("cannot send parameter to child, reason: %v, %s", sendErr, what)
	}
	return a.failure(what, o.stderr, sendErr, spoke, decodeErr, o.status, o.relay)
}
