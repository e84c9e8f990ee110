//go:build unix && !linux && !aix

package sys

import "syscall"

// writev writes the first part that is not empty: the others follow.
func writev(fd int, parts [][]byte) (n int, err error) {
	for _, part := range parts {
		if len(part) > 0 {
			return uninterrupted(func() (int, error) { return syscall.Write(fd, part) })
		}
	}
	return 0, nil
}
