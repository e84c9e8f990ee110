package child

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"slices"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/sys"
	"example.com/gons/reexec/internal/testsupport"
)

// launch makes the pipes of a child and starts it. An error means that it was not
// started.
func (c *Child) launch(ctx context.Context, spec Spec) error {
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
	order := Orders{Action: spec.Action}
	files := files{cmd: cmd}
	defer files.close()
	if err := c.connect(&files, spec, &order); err != nil {
		return err
	}
	if spec.Sealed {
		if err := seal(&files, &order); err != nil {
			return err
		}
	}
	testsupport.Cover(cmd)
	if err := takeDeathSignal(&files, &order); err != nil {
		return err
	}
	cmd.Env = append(cmd.Env, order.Vars()...)
	if spec.Input != nil {
		// A child that fails early, and reads nothing, so always fails in the same way.
		c.input = new(sys.Writing)
		c.WillWrite(c.input, spec.Input)
		c.input.Now()
	}
	c.onThread(order.Death != 0, spec.Roams, func() { c.cmd, err = birth.Start(ctx, cmd, refs, spec.Joins.PreserveCredentials) })
	if c.cmd == nil {
		return explainStart(cmd, err)
	}
	c.unborn = err
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
	for _, tune := range spec.Tune {
		tune(cmd)
	}
	if len(spec.Unshare) > 0 {
		if err := unshare(cmd, spec.Unshare); err != nil {
			return nil, err
		}
	}
	if cmd.Env == nil { // which means the parent's own to package exec
		cmd.Env = os.Environ()
	}
	cmd.Env = withoutOrders(cmd.Env)
	if cmd.Dir != "" {
		cmd.Env = append(cmd.Env, "PWD="+cmd.Dir) // as package exec has it for an environment of its own
	}
	cmd.ExtraFiles = slices.Clip(cmd.ExtraFiles) // what is appended is ours alone
	return cmd, nil
}

// onThread has start start a child. If its thread must live as long as the child, since
// the kernel means that thread when it speaks of the parent's end
// (https://go.dev/issue/27505), then usually the calling thread does, so that the child
// inherits what that one has. A child that roams is not waited for there; but a goroutine that is not locked
// to a thread may be on any, and so one of its own will do. A goroutine that is locked knows what it does.
func (c *Child) onThread(lasting, roams bool, start func()) {
	switch {
	case !lasting || (roams && sys.IsLocked()):
		start()
	case !roams:
		runtime.LockOSThread()
		c.locked = true
		start()
	default:
		started := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			start()
			close(started)
			<-c.exited
		}()
		<-started
	}
}

// unlock undoes what onThread has done to the calling goroutine.
func (c *Child) unlock() {
	if c.locked {
		c.locked = false
		runtime.UnlockOSThread()
	}
}
