package sys

import "golang.org/x/sys/unix"

// writev writes several parts at once.
func writev(fd int, parts [][]byte) (n int, err error) {
	return uninterrupted(func() (int, error) { return unix.Writev(fd, parts) })
}
