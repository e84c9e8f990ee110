//go:build !unix || aix

package process

import (
	"errors"
	"os"
	"sync"
)

// mustBePolled does nothing, since there are no deadlines for pipes.
func mustBePolled(*os.File) error { return nil }

// readNow reads nothing: where there are no non-blocking pipes, there are no
// deadlines either.
func readNow(*os.File, []byte) (n int, err error) { return 0, errors.ErrUnsupported }

// readLocked reads from a pipe. It counts nothing.
func readLocked(pipe *os.File, b []byte, _ sync.Locker, _ *int64) (n int, err error) {
	return pipe.Read(b)
}

// writeQuietly writes to a file as far as that is possible. There is no SIGPIPE.
func writeQuietly(f *os.File, b []byte) { _, _ = f.Write(b) }

// socketPair returns nothing: without, a child can be told of nothing but its end, and
// no open files travel.
func socketPair() (ours, theirs *os.File, err error) { return nil, nil, nil }
