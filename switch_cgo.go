//go:build linux && cgo

package reexec

import "github.com/thediveo/gons"

// switchStatus returns why this process could not join its namespaces, or nil.
func switchStatus() error { return gons.Status() }

// cannotJoin returns why children cannot join namespaces, or nil if they can.
func cannotJoin() error { return nil }
