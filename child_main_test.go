package reexec_test

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"example.com/gons/reexec"
)

// mains are what the test binary can be other than a test: its main functions, by
// name. The files whose specs start them fill this.
var mains = map[string]func(args ...string){}

// mainVar has the test binary be one of them: its value is the name and the
// arguments, one a line. Arguments are no way, since children get none.
const mainVar = "reexec_test_main"

// beOther has this process do something else than testing, if a variable says so,
// and then end.
func beOther() {
	words := strings.Split(os.Getenv(mainVar), "\n")
	if words[0] == "" {
		return
	}
	mains[words[0]](words[1:]...)
	os.Exit(0)
}

// asParent makes a main function of a parent: its children run their actions.
func asParent(main func(args ...string)) func(args ...string) {
	return func(args ...string) {
		reexec.CheckAction()
		main(args...)
	}
}

// other returns the test binary as another program.
func other(name string, args ...string) *exec.Cmd {
	self := "/proc/self/exe" // whatever becomes of its file
	if runtime.GOOS != "linux" {
		var err error
		if self, err = os.Executable(); err != nil {
			panic(err)
		}
	}
	program := exec.Command(self)
	program.Env = append(os.Environ(), beOtherVar(name, args...), "GORACE=atexit_sleep_ms=0")
	return program
}

// beOtherVar returns the variable that has the test binary be another program.
func beOtherVar(name string, args ...string) string {
	if mains[name] == nil {
		panic("no main function " + name)
	}
	return mainVar + "=" + strings.Join(append([]string{name}, args...), "\n")
}

// atoi returns a number that is known to be one.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func itoa(n int) string { return strconv.Itoa(n) }
