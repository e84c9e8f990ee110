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
