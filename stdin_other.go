//go:build !linux

package reexec

import "os"

// takeStdin returns what stdin was, and leaves an empty stdin to whoever reads
// from [os.Stdin].
func takeStdin() (*os.File, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	params := os.Stdin
	os.Stdin = null
	return params, nil
}

// growPipe does nothing, since the size of a pipe is fixed.
func growPipe(*os.File, int) {}
