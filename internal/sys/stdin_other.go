//go:build !linux

package sys

import "os"

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
