//go:build !unix

package reexec

// endedByKill takes every bad end for that of a child that was killed, since they
// look the same.
func endedByKill(status error) bool { return status != nil }
