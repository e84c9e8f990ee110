//go:build unix

package process

import (
	"errors"
	"os/exec"
	"syscall"
)

// EndedByKill tells whether a child ended because it was killed.
func EndedByKill(status error) bool {
	var exit *exec.ExitError
	if !errors.As(status, &exit) {
		return false
	}
	how, ok := exit.Sys().(syscall.WaitStatus)
	return ok && how.Signaled() && how.Signal() == syscall.SIGKILL
}
