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
// another PID namespace the parent's PID is 0.
func watchParent(order string) {
	orders := numbers(order)
	if len(orders) != 2 {
		return
	}
	signal, parent := unix.Signal(orders[0]), orders[1]
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(signal), 0, 0, 0) // as in package syscall, a wrong number has no effect
	if ppid := os.Getppid(); ppid != 0 && ppid != parent {
		_ = unix.Kill(os.Getpid(), signal)
	}
}
