//go:build !linux || !cgo

package birth

import (
	"errors"
	"fmt"
	"runtime"
)

// Status returns nil, since no process joins namespaces at its start.
func Status() error { return nil }

// takenOrder returns nothing, since no constructor runs.
func takenOrder(string) (value string, ran bool) { return "", false }

// IgnoresTerm returns false: it is not known.
func IgnoresTerm() bool { return false }

// CannotStart returns why this process may start no children, or nil.
func CannotStart() error { return cannotObey() }

// CannotJoin returns why children of this process cannot join namespaces.
func CannotJoin() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("cannot join namespaces on %s, which has none: %w", runtime.GOOS, errors.ErrUnsupported)
	}
	return fmt.Errorf("cannot join namespaces in a program built without cgo: %w", errors.ErrUnsupported)
}
