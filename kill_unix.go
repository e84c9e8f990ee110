//go:build unix

package reexec

import (
	"errors"
	"os/exec"
	"syscall"
)

// endedByKill tells whether a child ended because it was killed.
func endedByKill(status error) bool {
	var exit *exec.ExitError
	if !errors.As(status, &exit) {
		return false
	}
	how, ok := exit.Sys().(syscall.WaitStatus)
	return ok && how.Signaled() && how.Signal() == syscall.SIGKILL
}
