//go:build !unix

package reexec

import (
	"errors"
	"os"
)

// readNow reads nothing: where there are no non-blocking pipes, there are no
// deadlines either.
func readNow(*os.File, []byte) (n int, err error) { return 0, errors.ErrUnsupported }

// writeNow writes nothing, for the same reason.
func writeNow(*os.File, []byte) (n int, err error) { return 0, errors.ErrUnsupported }
