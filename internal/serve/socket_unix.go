//go:build unix && !aix

package serve

import (
	"os"
	"os/signal"
	"syscall"
)

// socket returns the socket to the parent.
func socket(fd int) *os.File {
	_ = syscall.SetNonblock(fd, true) // so the runtime polls it, and no thread has to wait
	return os.NewFile(uintptr(fd), "control")
}

// outliveStderr keeps who writes to a broken pipe from being killed, but not the programs that a function starts. It takes
// some hundred microseconds, which a child that serves a single call does not spend before it has to.
func outliveStderr() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
