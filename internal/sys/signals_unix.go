//go:build unix && !aix

package sys

import (
	"os"
	"os/signal"
	"syscall"
)

// GroupSignals are those that a terminal, or a service manager, sends to a whole process group to end it.
var GroupSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}

// EndedBy returns the signal that has ended a process, or 0.
func EndedBy(state *os.ProcessState) syscall.Signal {
	if state != nil {
		if how, ok := state.Sys().(syscall.WaitStatus); ok && how.Signaled() {
			return how.Signal()
		}
	}
	return 0
}

// SignalSelf sends this process a signal.
func SignalSelf(s syscall.Signal) { _ = syscall.Kill(os.Getpid(), s) }

// OutliveBrokenPipes makes a write to a pipe without reader an error in this process, but not in the programs that it starts.
func OutliveBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
