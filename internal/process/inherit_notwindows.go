//go:build !windows

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// inherit has a child inherit a file, and returns the number under which the
// child finds it.
func inherit(cmd *exec.Cmd, f *os.File) (number int, err error) {
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	return 2 + len(cmd.ExtraFiles), nil // behind stdin, stdout and stderr
}

// isBroken tells whether it is an error of writing to a pipe that nobody reads any more.
func isBroken(err error) bool { return errors.Is(err, syscall.EPIPE) }
