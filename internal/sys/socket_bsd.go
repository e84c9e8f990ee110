//go:build unix && !linux && !aix

package sys

import "os"

// Flags of messages; what they would ask for is done otherwise, or, as SIGPIPE, ignored by the Go runtime.
const (
	noSignal    = 0
	closeOnExec = 0
)

// IsUnread returns false: it is not known what the other end has received.
func IsUnread(*os.File) bool { return false }

// MaxMessage is how many bytes a message has at most. Not every system takes more than 2 KiB.
const MaxMessage = 2 << 10
