//go:build !windows && (!unix || aix)

package process

import (
	"errors"
	"os"
)

// makePipe is [os.Pipe]. There is no SIGPIPE.
func makePipe() (r, w *os.File, err error) { return os.Pipe() }

// writeNow writes nothing, since there are no non-blocking pipes.
func writeNow(*os.File, []byte) (n int, err error) { return 0, errors.ErrUnsupported }
