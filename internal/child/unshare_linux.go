package child

import (
	"os"
	"os/exec"
	"syscall"

	"example.com/gons/reexec/internal/birth"
	"golang.org/x/sys/unix"
)

// unshare gives a child new namespaces of these types. It returns the flags of clone(2) of all that the child gets.
func unshare(cmd *exec.Cmd, kinds []string) (flags uintptr, err error) {
	if len(kinds) > 0 {
		attr := syscall.SysProcAttr{}
		if cmd.SysProcAttr != nil {
			attr = *cmd.SysProcAttr // it is the caller's
		}
		cmd.SysProcAttr = &attr
		if err := addNew(&attr, kinds); err != nil {
			return 0, err
		}
	}
	return newNamespaces(cmd), nil
}

// newNamespaces returns the flags of clone(2) of those that a child gets.
func newNamespaces(cmd *exec.Cmd) (flags uintptr) {
	if cmd.SysProcAttr != nil {
		flags = cmd.SysProcAttr.Cloneflags | cmd.SysProcAttr.Unshareflags
	}
	return flags
}

func addNew(attr *syscall.SysProcAttr, kinds []string) error {
	flags, err := birth.Flags(kinds)
	if err != nil {
		return err
	}
	// Package syscall makes mounts private only after unshare(2), and to clone(2) the flag of time namespaces is a part of
	// the exit signal.
	const unshared = unix.CLONE_NEWNS | unix.CLONE_NEWTIME
	attr.Unshareflags |= flags & unshared
	attr.Cloneflags |= flags &^ unshared
	if attr.Cloneflags&unix.CLONE_NEWUSER != 0 && attr.UidMappings == nil && attr.GidMappings == nil {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return nil
}
