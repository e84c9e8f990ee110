//go:build unix && !linux && !aix

package sys

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// MaxMessage is how many bytes a message has at most. Not every system takes more than 2 KiB.
const MaxMessage = 2 << 10

// What these flags of messages ask for is done otherwise, or, as SIGPIPE, ignored by the Go runtime.
const noSignal, closeOnExec = 0, 0

func senderIn(*unix.SocketControlMessage) int { return 0 } // there is no NameSenders

func GrowPipe(*os.File, int) {} // the size of a pipe is fixed

func Unread(*os.File) int { return 0 } // it is not known, as here:

func IsUnread(*os.File) bool { return false }

// writev writes the first part: the others follow.
func writev(fd int, parts [][]byte) (n int, err error) { return syscall.Write(fd, parts[0]) }

// TakeStdin returns what stdin was, and leaves an empty stdin to all that reads from [os.Stdin].
func TakeStdin() (*os.File, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	stdin := os.Stdin
	os.Stdin = null
	return stdin, nil
}
