//go:build !linux

package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// executable is the file of the running program.
func executable() (string, error) { return os.Executable() }

// takeDeathSignal does nothing, since there are no PID namespaces that would be in
// the way.
func takeDeathSignal(*files, *Orders) error { return nil }

// newNamespaces are none.
func newNamespaces(*exec.Cmd) (flags uintptr) { return 0 }

// explainStart has nothing to explain.
func explainStart(_ *exec.Cmd, err error) error { return err }

// seal is not possible.
func seal(*files, *Orders) error {
	return fmt.Errorf("cannot seal a copy of the program on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// unshare is not possible.
func unshare(*exec.Cmd, []string) error {
	return fmt.Errorf("cannot make namespaces on %s, which has none: %w", runtime.GOOS, errors.ErrUnsupported)
}

// takeName does nothing: the child is started under its program's name.
func takeName() {}

// watchParent does nothing, since only Linux tells a child of its parent's end.
func watchParent(int, int) {}
