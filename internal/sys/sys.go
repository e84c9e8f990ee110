// Package sys makes the system calls that the other rooms need beyond packages os and syscall: on pipes, on sockets
// that carry open files, and on descriptors. It knows bytes and descriptors only. Where a system has no such call, the
// function says so by an error that wraps [errors.ErrUnsupported], or does less, as its documentation tells.
package sys

import (
	"bytes"
	"os"
	"runtime"
)

// MaxPipe is the largest capacity, in bytes, of a pipe of an ordinary process (pipe(7)), and so the most that a process
// can leave behind in one at its end.
const MaxPipe = 1 << 20

// usualPipe is the capacity, in bytes, of a new pipe.
const usualPipe = 64 << 10

// control calls a function with the descriptor of an open file. Unlike [os.File.Fd] it leaves the file non-blocking.
func control(f *os.File, call func(fd int)) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) { call(int(fd)) })
}

// IsStandard tells whether an open file is stdin, stdout or stderr of this process.
func IsStandard(f *os.File) bool {
	number := -1
	_ = control(f, func(fd int) { number = fd })
	return 0 <= number && number <= 2
}

// CloseAll closes files, of which some may be nil.
func CloseAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close() // or nothing: nil
	}
}

// IsLocked tells whether the calling goroutine is locked to its thread. Only its
// stack trace says so: "goroutine 1 [running, locked to thread]:".
func IsLocked() bool {
	trace := make([]byte, 128)
	header, _, _ := bytes.Cut(trace[:runtime.Stack(trace, false)], []byte("\n"))
	return bytes.Contains(header, []byte("locked to thread"))
}
