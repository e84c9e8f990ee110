package process

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"runtime"
	"slices"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/orders"
	"example.com/gons/reexec/internal/testsupport"
)

// launch makes the pipes of a child and starts it. An error means that it was not
// started.
func (p *Process) launch(ctx context.Context, spec Spec) error {
	if err := birth.CannotStart(); err != nil {
		return err
	}
	if err := spec.Joins.Check(); err != nil {
		return err
	}
	cmd, err := command(spec)
	if err != nil {
		return err
	}
	refs, release, err := spec.Joins.Open(newNamespaces(cmd))
	defer release()
	if err != nil {
		return err
	}
	order := orders.Orders{Action: spec.Action}
	theirs, err := p.connect(cmd, spec, &order)
	defer func() { closeAll(theirs) }()
	if err != nil {
		return err
	}
	if spec.Sealed {
		if err := seal(cmd, &order); err != nil {
			return err
		}
	}
	testsupport.Cover(cmd)
	watched, err := takeDeathSignal(cmd, &order)
	theirs = append(theirs, watched...)
	if err != nil {
		return err
	}
	cmd.Env = append(cmd.Env, order.Vars()...)
	if p.Stdin != nil {
		p.feed(spec)
	}
	p.onThread(order.Death != 0, spec.Roams, func() { p.cmd, err = birth.Start(ctx, cmd, refs, spec.Joins.PreserveCredentials) })
	if p.cmd == nil {
		return explainNew(cmd, err)
	}
	p.unborn = err
	return nil
}

// command returns the command of a child, without its files.
func command(spec Spec) (*exec.Cmd, error) {
	path, err := executable()
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: path,
		Args: slices.Clone(os.Args[:min(1, len(os.Args))]),
		Env:  append(os.Environ(), spec.Env...),
	}
	if spec.Tune != nil {
		spec.Tune(cmd)
	}
	if len(spec.Unshare) > 0 {
		if err := unshare(cmd, spec.Unshare); err != nil {
			return nil, err
		}
	}
	if cmd.Env == nil { // which means the parent's own to package exec
		cmd.Env = os.Environ()
	}
	cmd.Env = orders.Clean(cmd.Env)
	cmd.ExtraFiles = slices.Clip(cmd.ExtraFiles) // what is appended is ours alone
	return cmd, nil
}

// connect makes the files through which parent and child talk. It returns the child's
// ends, which are to be closed after its start.
func (p *Process) connect(cmd *exec.Cmd, spec Spec, order *orders.Orders) (theirs []*os.File, err error) {
	var answer, stderr, stdin *os.File
	// A pipe that the runtime cannot poll would block for ever, whatever a context says.
	pipe := func(reader, writer, ours **os.File) error {
		if *reader, *writer, err = makePipe(); err != nil {
			return err
		}
		return mustBePolled(*ours)
	}
	defer func() {
		for _, f := range []*os.File{answer, stderr, stdin} {
			if f != nil {
				theirs = append(theirs, f)
			}
		}
	}()
	if err := pipe(&p.Answer.file, &answer, &p.Answer.file); err != nil {
		return nil, err
	}
	if err := pipe(&p.stderr.pipe.file, &stderr, &p.stderr.pipe.file); err != nil {
		return nil, err
	}
	if spec.Input != nil || spec.Open {
		if err := pipe(&stdin, &p.Stdin, &p.Stdin); err != nil {
			return nil, err
		}
	} else if stdin, err = nothing(); err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, answer, stderr
	if spec.Function {
		return p.connectFunction(cmd, spec, order, answer)
	}
	return nil, nil
}

// connectFunction has a function answer on a pipe of its own, and gives it a socket where there is one.
func (p *Process) connectFunction(cmd *exec.Cmd, spec Spec, order *orders.Orders, answer *os.File) (theirs []*os.File, err error) {
	order.Concurrency, order.Grace = spec.Concurrency, spec.Grace
	order.Ready = spec.Ready
	if order.Answers, err = inherit(cmd, answer); err != nil {
		return nil, err
	}
	var control *os.File
	if p.Control, control, err = socketPair(); err != nil {
		return nil, err
	}
	if control != nil {
		theirs = append(theirs, control)
		if order.Control, err = inherit(cmd, control); err != nil {
			return theirs, err
		}
	}
	if cmd.Stdout = os.Stdout; !isOpen(os.Stdout) {
		none, err := nothing()
		if err != nil {
			return theirs, err
		}
		theirs = append(theirs, none)
		cmd.Stdout = none
	}
	return theirs, nil
}

// nothing is what a child gets where there is nothing to be had: its runtime would not
// start without (and without /dev/null). Where the parent has no /dev/null, an empty
// pipe does its service; who writes to its reading end gets an error, but no signal.
func nothing() (*os.File, error) {
	if null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil {
		return null, nil
	}
	r, w, err := os.Pipe()
	if err == nil {
		_ = w.Close()
	}
	return r, err
}

// isOpen tells whether a file is open.
func isOpen(f *os.File) bool {
	_, err := f.Stat()
	return err == nil
}

// onThread has start start a child. If its thread must live as long as the child, since
// the kernel means that thread when it speaks of the parent's end
// (https://go.dev/issue/27505), then usually the calling thread does, so that the child
// inherits what that one has. A child that roams is not waited for there; but a goroutine that is not locked
// to a thread may be on any, and so one of its own will do. A goroutine that is locked knows what it does.
func (p *Process) onThread(lasting, roams bool, start func()) {
	switch {
	case !lasting || (roams && isLocked()):
		start()
	case !roams:
		runtime.LockOSThread()
		p.locked = true
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

// unlock undoes what onThread has done to the calling goroutine.
func (p *Process) unlock() {
	if p.locked {
		p.locked = false
		runtime.UnlockOSThread()
	}
}

// isLocked tells whether the calling goroutine is locked to its thread. Only its
// stack trace says so: "goroutine 1 [running, locked to thread]:".
func isLocked() bool {
	trace := make([]byte, 128)
	header, _, _ := bytes.Cut(trace[:runtime.Stack(trace, false)], []byte("\n"))
	return bytes.Contains(header, []byte("locked to thread"))
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
