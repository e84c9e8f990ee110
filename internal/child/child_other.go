//go:build !linux

package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// errNone is the error of all that only Linux has.
var errNone = fmt.Errorf("neither namespaces nor sealed programs on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// executable is the file of the running program. On wasm there are no processes, and no such file.
func executable() (path string, err error) {
	if path, err = os.Executable(); err != nil {
		err = fmt.Errorf("no children on %s: %w: %w", runtime.GOOS, errors.ErrUnsupported, err)
	}
	return path, err
}

func unshare(_ *syscall.SysProcAttr, kinds []string) (flags uintptr, err error) {
	if len(kinds) > 0 {
		return 0, errNone
	}
	return 0, nil
}

func isFirst(*syscall.SysProcAttr) bool { return false }

func seal(*files, *Orders) error { return errNone }

func takeDeathSignal(*files, *Orders) {} // only Linux has it

func explainStart(_ *exec.Cmd, err error) error { return err }

func takeName() {} // the child is started under its program's name

func watchParent(Orders) {}
