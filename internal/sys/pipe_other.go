//go:build !linux

package sys

import "os"

// GrowPipe does nothing: the size of a pipe is fixed.
func GrowPipe(*os.File, int) {}

// Unread returns 0: it is not known how many bytes are in a pipe.
func Unread(*os.File) int { return 0 }
