package child

import (
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

// takeDeathSignal takes Pdeathsig out of the command and orders the child to ask for it: joining a user
// namespace takes the signal away (prctl(2)), and package syscall mistakes a child
// in another PID namespace for an orphan. Instead of its parent's PID the child gets a
// pidfd of it. Kernels without (before Linux 5.3) leave it open whether the
// parent has ended before the child asks.
func takeDeathSignal(f *files, order *Orders) error {
	order.Death = int(f.cmd.SysProcAttr.Pdeathsig)
	if order.Death == 0 {
		return nil
	}
	f.cmd.SysProcAttr.Pdeathsig = 0
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	switch err {
	case nil:
	case unix.ENOSYS, unix.EPERM: // of old kernels, and of old seccomp filters
		return nil
	default:
		return os.NewSyscallError("pidfd_open", err)
	}
	parent := os.NewFile(uintptr(fd), "pidfd")
	f.theirs = append(f.theirs, parent)
	order.Parent = f.inherit(parent)
	return nil
}

// watchParent asks the kernel for a signal to this child when its parent ends, if the parent wants that. Maybe its parent
// has ended meanwhile, which its pidfd tells in every PID namespace: then the child ends, since
// a signal of its own does nothing to the first process of a PID namespace.
func watchParent(signal, pidfd int) {
	if signal == 0 {
		return
	}
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(signal), 0, 0, 0) // as in package syscall, a wrong number has no effect
	if pidfd == 0 {
		return
	}
	ended := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	if n, _ := unix.Poll(ended, 0); n > 0 { // it is interrupted only if the parent lives
		os.Exit(1)
	}
	_ = unix.Close(pidfd)
}
