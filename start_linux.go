package reexec

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// executable is the running image, even if its file has been replaced or
// deleted (proc(5)).
func executable() (string, error) { return "/proc/self/exe", nil }

// startCommand starts a child that joins the namespaces, and returns the command
// to wait for. The channel exited is closed after the child has been reaped.
//
// Package gons joins the namespaces, in the child, before its Go runtime starts.
// Only the PID namespace must be joined before the child is born: the kernel
// allows no new threads to a process that has joined one itself
// (pid_namespaces(7)).
func startCommand(ctx context.Context, cmd *exec.Cmd, namespaces []Namespace, exited <-chan struct{}) (*exec.Cmd, error) {
	keep := takeDeathSignal(cmd, exited)
	pid := -1
	for i, ns := range namespaces {
		if ns.kind() != "pid" {
			continue
		}
		if pid >= 0 {
			return nil, newJoinError("duplicate namespace order type pid")
		}
		pid = i
	}
	if pid < 0 {
		cmd.Env = append(cmd.Env, joinVars(namespaces)...)
		return cmd, startOnThread(cmd, nil, keep)
	}

	ref, err := openPID(cmd.Dir, namespaces[:pid+1])
	if err == nil {
		defer ref.Close()
		env := cmd.Env
		cmd.Env = append(env, joinVars(without(namespaces, pid))...)
		if err = startOnThread(cmd, ref, keep); err == nil {
			return cmd, nil
		}
		cmd.Env = env
	}
	// Only the kernel knows which privileges it wants, so it was asked first.
	// Maybe the user namespace that comes before the PID namespace gives them.
	if user := lastUser(namespaces[:pid]); user >= 0 && isRefusal(err) {
		return startThroughUser(ctx, cmd, namespaces, user, pid, keep)
	}
	return nil, err
}

// isRefusal tells whether a namespace could not be joined for want of privileges.
func isRefusal(err error) bool {
	var join *joinError
	return errors.As(err, &join) && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES))
}

// lastUser returns the index of the user namespace, or -1.
func lastUser(namespaces []Namespace) int {
	for i := len(namespaces) - 1; i >= 0; i-- {
		if namespaces[i].kind() == "user" {
			return i
		}
	}
	return -1
}

// without returns the namespaces but for one.
func without(namespaces []Namespace, i int) []Namespace {
	return append(namespaces[:i:i], namespaces[i+1:]...)
}

// openPID opens the last of the namespaces, a PID namespace. Without a bang it is
// looked up in the mount namespace that comes before it, if one does.
func openPID(dir string, namespaces []Namespace) (*os.File, error) {
	last := len(namespaces) - 1
	pid := namespaces[last]
	if !pid.early() {
		for _, ns := range namespaces[:last] {
			if ns.kind() == "mnt" {
				mnt, err := openReference(dir, ns)
				if err != nil {
					return nil, err
				}
				defer mnt.Close()
				return openInside(mnt, pid)
			}
		}
	}
	return openReference(dir, pid)
}

// openReference opens a reference, but does not wait as a FIFO would have it.
func openReference(dir string, ns Namespace) (*os.File, error) {
	path := ns.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), path), nil
		case unix.EINTR:
		default:
			return nil, newJoinError("invalid gons_%s reference %q: %w", ns.kind(), ns.Path, err)
		}
	}
}

// openInside opens a reference inside a mount namespace.
func openInside(mnt *os.File, ns Namespace) (f *os.File, err error) {
	done := make(chan struct{})
	goOnLostThread(func() {
		defer close(done)
		// Only a thread that shares root and working directory with no other
		// may change its mount namespace (setns(2)).
		if err = unix.Unshare(unix.CLONE_FS); err == nil {
			err = unix.Setns(int(mnt.Fd()), unix.CLONE_NEWNS)
		}
		if err != nil {
			err = newJoinError("cannot join gons_mnt using reference %q: %w", mnt.Name(), err)
			return
		}
		f, err = openReference("", ns)
	})
	<-done
	return f, err
}

// takeDeathSignal has the child ask for its Pdeathsig itself: where a child is
// born in another PID namespace, package syscall mistakes it for an orphan, and
// joining a user namespace takes the signal away (prctl(2)). It returns the
// channel exited if there is such a signal: until it is closed, the thread that
// starts the child must not end, since the kernel means that thread when it
// speaks of the parent (https://go.dev/issue/27505).
func takeDeathSignal(cmd *exec.Cmd, exited <-chan struct{}) (keep <-chan struct{}) {
	if cmd.SysProcAttr == nil || cmd.SysProcAttr.Pdeathsig == 0 {
		return nil
	}
	attr := *cmd.SysProcAttr // it is the caller's
	cmd.Env = append(cmd.Env, deathVar+"="+strconv.Itoa(int(attr.Pdeathsig))+","+strconv.Itoa(os.Getpid()))
	attr.Pdeathsig = 0
	cmd.SysProcAttr = &attr
	return exited
}
