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
	cmd, err := c.command(spec)
	if err != nil {
		return err
	}
	fresh, err := unshare(cmd.SysProcAttr, spec.Unshare)
	if err != nil {
		return err
	}
	refs, err := spec.Joins.Open(fresh)
	defer birth.Close(refs)
	if err != nil {
		return err
	}
	order := Orders{Action: spec.Action}
	files := files{cmd: cmd, theirs: make([]*os.File, 0, 6)}
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
	takeDeathSignal(&files, &order)
	cmd.Env = append(cmd.Env, order.Vars()...)
	start := birth.Start
	if order.Death != 0 && !sys.IsLocked() {
		start = c.startOnThread
	}
	c.cmd, err = start(ctx, cmd, refs, spec.Joins.PreserveCredentials)
	if c.cmd == nil {
		return explainStart(cmd, err)
	}
	c.unborn = err
	return nil
}

// command returns the command of a child, without its files and orders.
func (c *Child) command(spec Spec) (*exec.Cmd, error) {
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
	if cmd.SysProcAttr != nil {
		c.attr = *cmd.SysProcAttr
	}
	cmd.SysProcAttr = &c.attr // the caller's stay as they are
	if cmd.Env == nil {       // which means the parent's own to package exec
		cmd.Env = os.Environ()
	}
	cmd.Env = withoutOrders(cmd.Env)
	if cmd.Dir != "" {
		cmd.Env = append(cmd.Env, "PWD="+cmd.Dir) // as package exec does where Env is nil
	}
	cmd.ExtraFiles = slices.Clip(cmd.ExtraFiles) // files are appended to a copy of the caller's slice
	return cmd, nil
}

// startOnThread is birth.Start on a thread that lasts as long as the child: the kernel means the thread that has started a
// child when it speaks of the parent's end (https://go.dev/issue/27505). It is not for a goroutine that is locked to its
// own thread, and so wants the child to inherit what that one has.
func (c *Child) startOnThread(ctx context.Context, cmd *exec.Cmd, refs []birth.Ref, preserve bool) (child *exec.Cmd, err error) {
	started := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		child, err = birth.Start(ctx, cmd, refs, preserve)
		close(started)
		<-c.exited
	}()
	<-started
	return child, err
}
