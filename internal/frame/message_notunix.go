//go:build !unix || aix

package frame

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// CloseAll closes nothing, since nothing can be received.
func CloseAll([]int) {}

func duplicate(f *os.File) (fd int, err error) {
	return 0, fmt.Errorf("cannot send file %s on this system: %w", f.Name(), errors.ErrUnsupported)
}

// Send is never called, since there is no socket.
func Send(*os.File, Message, bool) error { return errors.ErrUnsupported }

const maxCause = 1 << 10 // of a cause that is never sent

// isUnread is never called.
func isUnread(*os.File) bool { return false }

// tooMany is never called, as nothing is sent.
func tooMany(error) bool { return false }

// Receive is never called, since there is no socket.
func Receive(*os.File) (Message, error) { return Message{}, errors.ErrUnsupported }

// Listen is never called, since there is no socket.
func Listen(*os.File, sync.Locker, func(Message)) error { return errors.ErrUnsupported }
