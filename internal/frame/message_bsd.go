//go:build unix && !linux

package frame

// Flags of messages; what they would ask for is done otherwise, or, as SIGPIPE, ignored by the Go
// runtime.
const (
	noSignal    = 0
	closeOnExec = 0
)
