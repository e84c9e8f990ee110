//go:build unix && !aix

package process

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketPair returns both ends of a connection that keeps messages apart and carries
// open files.
func socketPair() (ours, theirs *os.File, err error) {
	kind := unix.SOCK_SEQPACKET
	if runtime.GOOS == "darwin" {
		kind = unix.SOCK_DGRAM // there are no others; its end is an error
	}
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	err = unix.SetNonblock(fds[0], true)
	ours, theirs = os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	if err == nil {
		err = mustBePolled(ours)
	}
	if err != nil {
		_ = ours.Close()
		_ = theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}
