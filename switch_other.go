//go:build !linux || !cgo

package reexec

import (
	"errors"
	"fmt"
	"runtime"
)

// switchStatus returns nil, since no process joins namespaces at its start.
func switchStatus() error { return nil }

// cannotJoin returns why children cannot join namespaces.
func cannotJoin() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("cannot join namespaces on %s, which has none: %w", runtime.GOOS, errors.ErrUnsupported)
	}
	return fmt.Errorf("cannot join namespaces in a program built without cgo: %w", errors.ErrUnsupported)
}
