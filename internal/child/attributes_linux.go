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

// isFirst tells whether a child with these attributes is the first process of a PID namespace.
func isFirst(attr *syscall.SysProcAttr) bool { return attr.Cloneflags&unix.CLONE_NEWPID != 0 }

// takeDeathSignal takes Pdeathsig out of a command, and returns its number. The child asks for it: joining a user namespace
// takes the signal away (prctl(2)), and package syscall mistakes a child in another PID namespace for an orphan.
func takeDeathSignal(attr *syscall.SysProcAttr) (signal int) {
	signal, attr.Pdeathsig = int(attr.Pdeathsig), 0
	return signal
}

// watchParent asks the kernel for a signal to this child when its parent ends, if the parent wants that. Maybe its parent
// has ended meanwhile: then nothing reads from the pipe for answers any more, which holds in every PID namespace. Then the child
// ends, since a signal of its own does nothing to the first process of a PID namespace.
func watchParent(signal, answers int) {
	if signal == 0 {
		return
	}
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(signal), 0, 0, 0) // as in package syscall, a wrong number has no effect
	pipe := []unix.PollFd{{Fd: int32(answers)}}
	if _, err := unix.Poll(pipe, 0); err == nil && pipe[0].Revents&unix.POLLERR != 0 { // it is interrupted only if the parent lives
		os.Exit(1)
	}
}
