package birth

import (
	"errors"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// errNoChild says that a process is no child of this one.
var errNoChild = errors.New("no child")

// isChild returns nil if a process is a child of this one, alive or waiting to be
// reaped, and errNoChild if it is the child of another process. If it is gone it can
// have been either.
func isChild(pid int) error {
	var info unix.Siginfo
	for {
		switch err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); {
		case err == nil:
			return nil
		case err == unix.EINTR:
		case unix.Kill(pid, 0) == unix.ESRCH:
			return unix.ECHILD
		default:
			return errNoChild
		}
	}
}

// adopt takes over a clone from the first process, which it reaps. The command has
// no process if somebody else, who waits for any child (wait4(2) with -1), has
// reaped the clone: its PID must not be signalled any more.
func adopt(first *exec.Cmd, pid int, err error) (*exec.Cmd, error) {
	clone := &exec.Cmd{Path: first.Path, Args: first.Args}
	// It is held, by a pidfd, before it is looked at; so it is the one that is seen.
	process, findErr := os.FindProcess(pid)
	if findErr == nil && isChild(pid) == nil {
		clone.Process = process
	} else if process != nil {
		_ = process.Release()
	}
	reap := func() {
		if first.Wait() != nil { // it ends by itself, and its status says nothing
			_ = first.Process.Release() // it was reaped elsewhere
		}
	}
	if err == nil {
		reap()
		return clone, nil
	}
	// Something went wrong, and it may be that the kernel does not end this process.
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		reap()
	}()
	select {
	case <-reaped:
	case <-time.After(lastWords):
	}
	return clone, err
}
