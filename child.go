package reexec

import (
	"os"
	"strconv"
	"strings"
)

// orders is what the parent has told this process to do. It is zero in a process
// that is no child.
var orders struct {
	action  string
	answers *os.File // where a function answers; nil for other actions
	ready   bool     // the parent waits until the function is ready
}

// A child takes its orders before any package that uses this one is
// initialised. Then neither the action nor anything it starts sees them, and a
// program that uses gons too does not join namespaces which are not meant for
// it.
func init() {
	obeyAsIntermediate()
	orders.action = os.Getenv(actionVar)
	orders.ready = os.Getenv(readyVar) != ""
	if orders.action == "" {
		return
	}
	sayHere()
	takeName()
	watchParent(os.Getenv(deathVar))
	for _, fd := range numbers(os.Getenv(answersVar)) {
		closeOnExec(fd)
		orders.answers = os.NewFile(uintptr(fd), "answers")
	}
	for _, fd := range numbers(os.Getenv(closeVar)) {
		_ = os.NewFile(uintptr(fd), "namespace").Close()
	}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, gonsPrefix) {
			_ = os.Unsetenv(name) // fails only for names that cannot be
		}
	}
}

// numbers returns the numbers of a list such as 3,4,5.
func numbers(list string) (numbers []int) {
	for number := range strings.SplitSeq(list, ",") {
		if n, err := strconv.Atoi(number); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
}
