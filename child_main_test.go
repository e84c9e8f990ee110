package reexec_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"example.com/gons/reexec"
)

// beOther has this process do something else than testing, if a variable says so.
func beOther() {
	beNeighbour()
	switch {
	case os.Getenv(runActionVar) != "":
		fmt.Println(reexec.RunAction())
		os.Exit(0)
	case os.Getenv(notEnabledVar) != "":
		_ = reexec.RunReexecAction("answer")
	case os.Getenv(faultVar) != "" && !reexec.RunAction():
		meetFault(os.Getenv(faultVar))
	case os.Getenv(killedParentVar) != "" && !reexec.RunAction():
		beKilledParent(os.Getenv(killedParentVar))
	case os.Getenv(orphanVar) != "" && !reexec.RunAction():
		w, err := pid.Start(context.Background())
		if err != nil {
			panic(err)
		}
		fmt.Println(w.Call(context.Background(), struct{}{}))
		select {}
	case os.Getenv(doomedVar) != "" && !reexec.RunAction():
		words := strings.Fields(os.Getenv(doomedVar))
		n := &neighbour{pid: atoi(words[0])}
		fmt.Println(reexec.RunReexecAction("say your PID and hang",
			reexec.Namespaces(n.namespaces(words[1:]...)),
			reexec.Cmd(func(cmd *exec.Cmd) {
				cmd.ExtraFiles = []*os.File{os.Stdout}
				cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			})))
		os.Exit(1)
	}
}

// doomedVar has the test binary be a parent whose child lasts, with a Pdeathsig, in
// the namespaces of a process: its PID, and the types.
const doomedVar = "reexec_test_doomed"

// atoi returns a number that is known to be one.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func itoa(n int) string { return strconv.Itoa(n) }
