package specs

import (
	"os"
	"syscall"
)

// BeInit has this process look after orphans, if it is the first of a PID namespace, and
// leave testing to a child: so no zombies of others are mistaken for one's own.
func BeInit() {
	if os.Getpid() != 1 {
		return
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	tests, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		panic(err)
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			panic(err)
		case pid == tests.Pid && status.Exited():
			os.Exit(status.ExitStatus())
		case pid == tests.Pid:
			os.Exit(128 + int(status.Signal()))
		}
	}
}
