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

// isChild returns nil if a process is a child of this one, alive or waiting to be reaped, errNoChild if it is the child of another
// process, and ECHILD if it is gone.
func isChild(pid int) error {
	var info unix.Siginfo
	switch err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); {
	case err == nil:
		return nil
	case unix.Kill(pid, 0) == unix.ESRCH:
		return unix.ECHILD
	}
	return errNoChild
}

// adopt takes over a clone from the first process, which it reaps. The command has no process if other code of this program,
// which waits for any child (wait4(2) with -1), has reaped the clone: its PID may be another process' by now.
//
// err is why the clone cannot go on, or nil. If it cannot, the kernel may be unable to end the first process, too, and adopt
// waits for it no longer than lastWords.
func adopt(first *exec.Cmd, pid int, err error) (*exec.Cmd, error) {
	clone := &exec.Cmd{Path: first.Path, Args: first.Args}
	process, _ := os.FindProcess(pid) // it never fails, and holds the process by a pidfd: isChild looks at the same one
	if isChild(pid) == nil {
		clone.Process = process
	} else {
		_ = process.Release()
	}
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		if first.Wait() != nil { // it ends by itself, and its status says nothing
			_ = first.Process.Release() // it was reaped elsewhere
		}
	}()
	var patience <-chan time.Time
	if err != nil {
		patience = time.After(lastWords)
	}
	select {
	case <-reaped:
	case <-patience:
	}
	return clone, err
}
