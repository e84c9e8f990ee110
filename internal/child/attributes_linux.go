package child

import (
	"cmp"
	"os"
	"syscall"

	"example.com/gons/reexec/internal/birth"
	"golang.org/x/sys/unix"
)

// unshare gives a child new namespaces of these types. It returns the flags of clone(2) of all that the child gets.
func unshare(attr *syscall.SysProcAttr, kinds []string) (flags uintptr, err error) {
	fresh, err := birth.Flags(kinds)
	if err != nil {
		return 0, err
	}
	// Package syscall makes mounts private only after unshare(2), and to clone(2) the flag of time namespaces is a part of
	// the exit signal.
	const unshared = unix.CLONE_NEWNS | unix.CLONE_NEWTIME
	attr.Unshareflags |= fresh & unshared
	attr.Cloneflags |= fresh &^ unshared
	if len(kinds) > 0 && attr.Cloneflags&unix.CLONE_NEWUSER != 0 && attr.UidMappings == nil && attr.GidMappings == nil {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return attr.Cloneflags | attr.Unshareflags, nil
}

// isFirst tells whether a child with these attributes is the first process of a PID namespace.
func isFirst(attr *syscall.SysProcAttr) bool { return attr.Cloneflags&unix.CLONE_NEWPID != 0 }

// takeDeathSignal takes Pdeathsig out of the command and orders the child to ask for it: joining a user namespace takes the
// signal away (prctl(2)), and package syscall mistakes a child in another PID namespace for an orphan. Instead of its parent's PID
// the child gets a pidfd of it, where there is one to be had (since Linux 5.3).
func takeDeathSignal(f *files, order *Orders) {
	attr := f.cmd.SysProcAttr
	if order.Death, attr.Pdeathsig = int(attr.Pdeathsig), 0; order.Death == 0 {
		return
	}
	if fd, err := unix.PidfdOpen(os.Getpid(), 0); err == nil { // or else the pipe for answers has to tell
		parent := os.NewFile(uintptr(fd), "parent")
		f.theirs = append(f.theirs, parent)
		order.Parent = f.inherit(parent)
	}
}

// watchParent asks the kernel for a signal to this child when its parent ends, if the parent wants that. Maybe its parent has ended
// meanwhile, which its pidfd tells in every PID namespace. Without one, nothing reads from the pipe for answers any more, unless the
// parent was just starting another child, which holds that until it executes its program. Then the child ends, since
// a signal of its own does nothing to the first process of a PID namespace.
func watchParent(o Orders) {
	if o.Death == 0 {
		return
	}
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(o.Death), 0, 0, 0) // as in package syscall, a wrong number has no effect
	ended := []unix.PollFd{
		{Fd: int32(cmp.Or(o.Answers, 1))},                      // an action answers on stdout
		{Fd: int32(cmp.Or(o.Parent, -1)), Events: unix.POLLIN}, // -1 is passed over
	}
	if n, _ := unix.Poll(ended, 0); n > 0 { // it is interrupted only if the parent lives
		os.Exit(1)
	}
	if o.Parent != 0 {
		_ = unix.Close(o.Parent)
	}
}
