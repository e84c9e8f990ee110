//go:build !linux

package reexec

import (
	"context"
	"os"
	"os/exec"
)

// executable is the file of the running program.
func executable() (string, error) { return os.Executable() }

// startCommand starts a child in the namespace-less world that the parent is in.
func startCommand(_ context.Context, cmd *exec.Cmd, _ []Namespace, _ <-chan struct{}) (*exec.Cmd, error) {
	return cmd, cmd.Start()
}
