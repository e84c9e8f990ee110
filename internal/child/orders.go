package child

import (
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/sys"
	"example.com/gons/reexec/internal/testsupport"
)

// All variables of this module, and of package gons, start with this prefix. They
// are for one process only: children do not inherit them.
const prefix = "gons_"

// The constructor (internal/birth/constructor.c) knows numbers of files by fd_ behind it.
const (
	actionVar = prefix + "reexec_action"
	graceVar  = prefix + "reexec_grace"
)

// Orders are what a parent tells its child to do, in the environment; the namespaces are package birth's. They are zero
// in a process that is no child.
type Orders struct {
	Action      string        // name of the action
	Grace       time.Duration // how long calls may go on after the parent's end
	Concurrency int           // how many calls a function serves at a time, until there are no more; 0: it serves one call
	Answers     int           // number of the file for the answers of a function; 0: none
	Control     int           // number of the socket of a function; 0: none
	Stderr      int           // number of the reading end of a function's own stderr
	Sealed      int           // number of the program's file, if the child is to close it; 0: it is not
	Death       int           // number of the signal at the parent's death; 0: none
	Parent      int           // number of the parent's pidfd, if Death is set; 0: none
}

// numbers are the orders that are numbers, by the names of their variables.
func (o *Orders) numbers() [7]number {
	return [...]number{
		{prefix + "reexec_fd_answers", &o.Answers}, {prefix + "reexec_fd_control", &o.Control}, {prefix + "reexec_fd_stderr", &o.Stderr},
		{prefix + "reexec_concurrency", &o.Concurrency}, {prefix + "reexec_fd_sealed", &o.Sealed}, {prefix + "reexec_pdeath", &o.Death},
		{prefix + "reexec_fd_parent", &o.Parent},
	}
}

type number struct {
	name  string
	value *int
}

// Vars returns the variables that tell these orders. They have to be the last of an environment: a child finds empty
// variables in their place, and the race detector reads its options from /proc/self/environ up to the first of these.
func (o Orders) Vars() []string {
	vars := append(make([]string, 0, 12), birth.ChildVar+"=1", actionVar+"="+o.Action)
	for _, n := range o.numbers() {
		if *n.value != 0 {
			vars = append(vars, n.name+"="+strconv.Itoa(*n.value))
		}
	}
	if o.Grace != 0 {
		vars = append(vars, graceVar+"="+o.Grace.String())
	}
	return vars
}

// TakeOrders returns the orders of this process, and does what concerns the process as a
// whole: it gets its name, a signal at its parent's death, and keeps its files from what it
// starts. Where the constructor has not taken the orders out of the environment, TakeOrders removes
// them, and all other variables of gons: neither the action nor a program that it starts sees them.
// It must be called before anything that may look at them.
//
// The environment of a process that is no child of this package is left
// alone: it may be a child of the package that this one succeeds.
func TakeOrders() (o Orders) {
	if birth.Order(birth.ChildVar) == "" {
		return o
	}
	o.Action = birth.Order(actionVar)
	o.Grace, _ = time.ParseDuration(birth.Order(graceVar)) // 0 without
	for _, n := range o.numbers() {
		if value, err := strconv.Atoi(birth.Order(n.name)); err == nil && value > 0 {
			*n.value = value
		}
	}
	RemoveOrders()
	takeName()
	if birth.IgnoresTerm() {
		signal.Ignore(syscall.SIGTERM) // which Go's runtime catches otherwise
	}
	watchParent(o)
	if o.Sealed != 0 {
		_ = os.NewFile(uintptr(o.Sealed), "program").Close()
	}
	for _, fd := range []int{o.Answers, o.Control, o.Stderr} {
		if fd != 0 {
			sys.CloseOnExec(fd)
		}
	}
	return o
}

// ActionByHand returns the name of the action of a process that was started by hand, or by
// the package that this one succeeds.
func ActionByHand() (action string) { return os.Getenv(actionVar) }

// RemoveOrders removes all orders from the environment, so also those of such a process, once it is known
// to be meant.
func RemoveOrders() {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, prefix) {
			_ = os.Unsetenv(name) // fails only for names that cannot be
		}
	}
}

// withoutOrders returns a copy of an environment without any orders, with room for new
// ones.
func withoutOrders(env []string) []string {
	clean := append(make([]string, 0, len(env)+16), env...)
	clean = slices.DeleteFunc(clean, func(variable string) bool { return strings.HasPrefix(variable, prefix) })
	if testsupport.RaceEnabled {
		clean = withoutRaceSleep(clean)
	}
	return clean
}

// withoutRaceSleep spares a child the second that the race detector sleeps at a
// program's end (https://go.dev/doc/articles/race_detector, atexit_sleep_ms),
// unless the user wants that.
func withoutRaceSleep(env []string) []string {
	const variable, option = "GORACE", "atexit_sleep_ms="
	options := testsupport.Lookup(env, variable)
	if strings.Contains(options, option) {
		return env
	}
	return append(env, strings.TrimSuffix(variable+"="+option+"0 "+options, " "))
}

// Exit ends this child. Its coverage data is kept.
func Exit(code int) { testsupport.Exit(code) }
