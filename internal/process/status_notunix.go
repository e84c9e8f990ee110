//go:build !unix

package process

// EndedByKill takes every bad end for that of a child that was killed, since they
// look the same.
func EndedByKill(status error) bool { return status != nil }
