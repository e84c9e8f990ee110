//go:build !unix || aix

package sys

import (
	"errors"
	"os"
	"syscall"
)

// MaxFiles is how many open files fit into one message.
const MaxFiles = 0

// MaxMessage is how many bytes a message has at most.
const MaxMessage = 2 << 10

// GroupSignals are none.
var GroupSignals []os.Signal

// There are no children on these systems, and so none of these functions is called with an open file.

func Pipe() (r, w *os.File, err error)               { return nil, nil, errors.ErrUnsupported }
func SocketPair() (ours, theirs *os.File, err error) { return nil, nil, errors.ErrUnsupported }
func Descriptor(*os.File) (int, error)               { return -1, errors.ErrUnsupported }
func Duplicate(*os.File, int) (*os.File, error)      { return nil, errors.ErrUnsupported }
func OwnFile(int, string) *os.File                   { return nil }
func ReadNow(int, []byte) (int, error)               { return 0, errors.ErrUnsupported }
func WriteNow(int, [][]byte) (int, error)            { return 0, errors.ErrUnsupported }
func WriteAll(f *os.File, b []byte) error            { _, err := f.Write(b); return err }
func Send(*os.File, []byte, []int, bool) error       { return errors.ErrUnsupported }
func Receive(*os.File, []byte) (int, []int, error)   { return 0, nil, errors.ErrUnsupported }
func Listen(*os.File, func() error) error            { return errors.ErrUnsupported }
func CloseDescriptors([]int)                         {}
func IsCrowded(error) bool                           { return false }
func Raise(fd int) int                               { return fd }
func EndedBy(*os.ProcessState) syscall.Signal        { return 0 }
func IsStandard(*os.File) bool                       { return false }
func OutliveBrokenPipes()                            {}
func SignalSelf(syscall.Signal)                      {}
func IsUnread(*os.File) bool                         { return false }
