package birth

import (
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"
)

// isInit tells whether this is a child that is the first process of its PID namespace (pid_namespaces(7)).
var isInit = os.Getpid() == 1 && Order(ChildVar) != ""

func init() {
	if isInit {
		runtime.LockOSThread() // the main goroutine is on the main thread for good
	}
}

// Run runs the action of a child. In the first process of a PID namespace the action runs on other threads than the main one, so
// that the main thread can reap orphans without taking the status of processes that the action waits for.
//
// The kernel makes orphans children of the main thread, and also the children of a thread that has ended. A process that the program
// starts is the child of the thread that has started it. The main thread waits for its own children only. What package
// initialisers have started is among these. After an action that calls runtime.Goexit the
// other goroutines go on, as in any other child.
func Run(action func()) {
	if !isInit {
		action()
		return
	}
	died, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(died, unix.SIGCHLD)
	defer signal.Stop(died)
	go func() {
		action()
		close(done)
	}()
	for {
		select {
		case <-done:
			return
		case <-died:
		}
		for pid := 1; pid > 0; {
			pid, _ = unix.Wait4(-1, nil, unix.WNOHANG|unix.WNOTHREAD, nil)
		}
	}
}
