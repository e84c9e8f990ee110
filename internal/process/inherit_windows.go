package process

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"syscall"
)

// inherit has a child inherit a file, and returns the number under which the
// child finds it: its handle, since there are no ExtraFiles on Windows.
func inherit(cmd *exec.Cmd, f *os.File) (number int, err error) {
	handle := syscall.Handle(f.Fd())
	if err := syscall.SetHandleInformation(handle, syscall.HANDLE_FLAG_INHERIT, syscall.HANDLE_FLAG_INHERIT); err != nil {
		return 0, os.NewSyscallError("SetHandleInformation", err)
	}
	attr := syscall.SysProcAttr{}
	if cmd.SysProcAttr != nil {
		attr = *cmd.SysProcAttr // it is the caller's
	}
	attr.AdditionalInheritedHandles = append(slices.Clip(attr.AdditionalInheritedHandles), handle)
	cmd.SysProcAttr = &attr
	return int(handle), nil
}

// isBroken tells whether it is an error of writing to a pipe that nobody reads any more. There is no EPIPE on
// Windows, only what is like it: closed (ERROR_NO_DATA), or being closed.
func isBroken(err error) bool {
	const noData = syscall.Errno(232)
	return errors.Is(err, noData) || errors.Is(err, syscall.ERROR_BROKEN_PIPE)
}
