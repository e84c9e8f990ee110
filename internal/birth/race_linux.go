//go:build cgo && race

package birth

import "golang.org/x/sys/unix"

// With the race detector the constructor leaves it to Go that a child in other
// namespaces is not dumpable: at the start the detector reads its options from
// /proc/self/environ, which would be out of its reach.
func init() {
	if Order(socketVar) != "" {
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
}
