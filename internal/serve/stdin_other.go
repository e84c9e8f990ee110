//go:build !linux

package serve

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
