package child

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
// the parent has asked for that. Joining a user namespace takes such a signal
// away (prctl(2)), so the child asks for it only now. Maybe its parent has ended
// meanwhile, which its pidfd tells in every PID namespace: then the child ends, since
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
	for {
		switch n, err := unix.Poll(ended, 0); {
		case err == unix.EINTR:
			continue
		case n > 0:
			os.Exit(1)
		}
		break
	}
	_ = unix.Close(pidfd)
}
