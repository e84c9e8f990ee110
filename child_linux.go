package reexec

import (
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// takeName gives a child the name of its program for ps, top and pgrep, since
// the kernel has named it after the last part of /proc/self/exe. Init functions
// run on the main thread, whose name is that of the process.
func takeName() {
	if len(os.Args) == 0 {
		return
	}
	if name, err := unix.BytePtrFromString(filepath.Base(os.Args[0])); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0) // cut to 15 bytes
	}
}

// watchParent has the kernel send this child a signal when its parent ends, if
// the parent has asked for that. An orphan sends itself the signal. From within
// another PID namespace the PID of any parent is 0; but only the parent reads what
// this child writes to stderr.
func watchParent(order string) {
	words := numbers(order)
	if len(words) != 2 {
		return
	}
	signal, parent := unix.Signal(words[0]), words[1]
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(signal), 0, 0, 0) // as in package syscall, a wrong number has no effect
	ppid := os.Getppid()
	stderr := []unix.PollFd{{Fd: 2, Events: unix.POLLOUT}}
	if ppid == 0 {
		_, _ = unix.Poll(stderr, 0)
	}
	if (ppid != 0 && ppid != parent) || stderr[0].Revents&unix.POLLERR != 0 {
		_ = unix.Kill(os.Getpid(), signal)
	}
}
