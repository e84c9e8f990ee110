//go:build !unix || aix

package sys

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// errNone is the error of all functions here. Most of them are never called, since no child is started.
var errNone = fmt.Errorf("no children on %s: %w", runtime.GOOS, errors.ErrUnsupported)

const MaxFiles, MaxMessage = 0, 2 << 10

var GroupSignals []os.Signal

func Pipe() (r, w *os.File, err error)                  { return nil, nil, errNone }
func SocketPair() (ours, theirs *os.File, err error)    { return nil, nil, errNone }
func Descriptor(*os.File) (int, error)                  { return -1, errNone }
func Duplicate(*os.File) (*os.File, error)              { return nil, errNone }
func OwnFile(int, string) *os.File                      { return nil }
func ReadNow(int, []byte) (int, error)                  { return 0, errNone }
func WriteNow(int, [][]byte) (int, error)               { return 0, errNone }
func WriteAll(f *os.File, b []byte) error               { return errNone }
func Send(*os.File, []byte, []int, bool) error          { return errNone }
func Receive(*os.File, []byte) (int, []int, int, error) { return 0, nil, 0, errNone }
func Listen(*os.File, func() error) error               { return errNone }
func TakeStdin() (*os.File, error)                      { return nil, errNone }
func CloseDescriptors([]int)                            {}
func CloseOnExec(int)                                   {}
func GrowPipe(*os.File, int)                            {}
func Unread(*os.File) int                               { return 0 }
func IsUnread(*os.File) bool                            { return false }
func IsCrowded(error) bool                              { return false }
func Raise(fd int) int                                  { return fd }
func EndedBy(*os.ProcessState) os.Signal                { return nil }
func OutliveBrokenPipes()                               {}
func SignalSelf(os.Signal)                              {}
