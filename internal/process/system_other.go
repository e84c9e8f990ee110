//go:build !linux

package process

import (
	"os"
	"os/exec"

	"example.com/gons/reexec/internal/orders"
)

// executable is the file of the running program.
func executable() (string, error) { return os.Executable() }

// takeDeathSignal does nothing, since there are no PID namespaces that would be in
// the way.
func takeDeathSignal(*exec.Cmd, *orders.Orders) ([]*os.File, error) { return nil, nil }

// explainNew has nothing to explain.
func explainNew(_ *exec.Cmd, err error) error { return err }
