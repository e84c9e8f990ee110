package testsupport

import (
	"fmt"
	"os"
	"runtime/debug"
)

// covering tells that this process is a child that leaves coverage data.
var covering bool

// Exit ends a child, its coverage data included.
func Exit(code int) {
	enterDirectory()
	os.Exit(code)
}

// ExitOnPanic, when deferred, ends a child that panics nearly as Go does: with
// value and stack on stderr, and with status 2. But Go would lose its coverage
// data. It does nothing in a process that leaves none.
func ExitOnPanic() {
	if !covering {
		return
	}
	if value := recover(); value != nil {
		fmt.Fprintf(os.Stderr, "panic: %v\n\n%s", value, debug.Stack())
		Exit(2)
	}
}
