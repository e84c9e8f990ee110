package child

import "syscall"

// closeOnExec keeps a file from the programs that this process starts.
func closeOnExec(number int) { syscall.CloseOnExec(syscall.Handle(number)) }
