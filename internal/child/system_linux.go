package child

import (
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// executable is the running image, even if its file has been replaced or
// deleted (proc(5)).
func executable() (string, error) { return "/proc/self/exe", nil }

// takeDeathSignal has the child ask for its Pdeathsig itself, since joining a user
// namespace takes the signal away (prctl(2)), and package syscall mistakes a child
// in another PID namespace for an orphan. Instead of its parent's PID the child gets a
// pidfd of it; kernels without (before Linux 5.3) leave it open whether the
// parent has ended before the child asks.
func takeDeathSignal(f *files, order *Orders) error {
	if f.cmd.SysProcAttr == nil || f.cmd.SysProcAttr.Pdeathsig == 0 {
		return nil
	}
	attr := *f.cmd.SysProcAttr // it is the caller's
	order.Death = int(attr.Pdeathsig)
	attr.Pdeathsig = 0
	f.cmd.SysProcAttr = &attr
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	switch err {
	case nil:
	case unix.ENOSYS, unix.EPERM: // as old kernels, and old seccomp filters, have it
		return nil
	default:
		return os.NewSyscallError("pidfd_open", err)
	}
	parent := os.NewFile(uintptr(fd), "pidfd")
	f.theirs = append(f.theirs, parent)
	order.Parent = f.inherit(parent)
	return nil
}

// newNamespaces returns the flags of those that a child gets.
func newNamespaces(cmd *exec.Cmd) (flags uintptr) {
	if cmd.SysProcAttr != nil {
		flags = cmd.SysProcAttr.Cloneflags | cmd.SysProcAttr.Unshareflags
	}
	return flags
}
