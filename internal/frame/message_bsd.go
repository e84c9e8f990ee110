//go:build unix && !linux && !aix

package frame

import "os"

// Flags of messages; what they would ask for is done otherwise, or, as SIGPIPE, ignored by the Go
// runtime.
const (
	noSignal    = 0
	closeOnExec = 0
)

// maxCause is how many bytes of a context's cause travel. Not every system takes messages of 2 KiB.
const maxCause = 1 << 10

// isUnread is not known.
func isUnread(*os.File) bool { return false }
