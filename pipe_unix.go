//go:build unix

package reexec

import (
	"os"
	"syscall"
)

// readNow reads what is in a pipe, even after its deadline; it never waits. At
// end of file it returns 0, and an error if the pipe is empty but still open.
func readNow(pipe *os.File, b []byte) (n int, err error) {
	return now(pipe, b, syscall.Read)
}

// writeNow writes as much as fits into a pipe; it never waits.
func writeNow(pipe *os.File, b []byte) (n int, err error) {
	return now(pipe, b, syscall.Write)
}

// now makes a system call with the descriptor of a pipe, which [os.Pipe] has
// made non-blocking.
func now(pipe *os.File, b []byte, call func(fd int, b []byte) (int, error)) (n int, err error) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := conn.Control(func(fd uintptr) {
		for {
			if n, err = call(int(fd), b); err != syscall.EINTR {
				break
			}
		}
	})
	if controlErr != nil {
		return 0, controlErr
	}
	return max(n, 0), err
}
