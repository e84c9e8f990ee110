//go:build !linux

package pipe

import "os"

// Grow does nothing, since the size of a pipe is fixed.
func Grow(*os.File, int) {}

// Room is not known.
func Room(*os.File) int { return 0 }

// Unread is not known.
func Unread(*os.File) int { return 0 }
