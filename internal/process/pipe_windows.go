package process

import (
	"os"
	"syscall"
)

const pipeSize = 64 << 10 // bytes, as on Linux

// makePipe makes a pipe that takes so many bytes while nobody reads; [os.Pipe] makes one of 4 KiB.
// There is no SIGPIPE.
func makePipe() (r, w *os.File, err error) {
	var reader, writer syscall.Handle
	if err := syscall.CreatePipe(&reader, &writer, nil, pipeSize); err != nil {
		return nil, nil, os.NewSyscallError("CreatePipe", err)
	}
	return os.NewFile(uintptr(reader), "|0"), os.NewFile(uintptr(writer), "|1"), nil
}

// writeNow writes as much as fits into a pipe that is empty. Others it must not be given, since
// writing then waits.
func writeNow(pipe *os.File, b []byte) (n int, err error) {
	return pipe.Write(b[:min(len(b), pipeSize)])
}
