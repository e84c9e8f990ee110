//go:build unix

package serve

import (
	"os"
	"syscall"
)

// socket returns the socket to the parent.
func socket(fd int) *os.File {
	_ = syscall.SetNonblock(fd, true) // so the runtime polls it, and no thread has to wait
	return os.NewFile(uintptr(fd), "control")
}
