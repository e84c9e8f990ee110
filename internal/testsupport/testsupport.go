// Package testsupport has children leave their coverage data where Go finds it,
// and lets package reexec and its package testing work together. These two
// cannot import each other, since then the tests inside package reexec could not
// use package testing.
//
// An instrumented program writes its coverage data into the directory GOCOVERDIR
// (https://go.dev/doc/build-cover). A parent hands this directory to its children
// twice: by its path, and as an open file for where this path leads elsewhere.
// A program that is not instrumented looks at two environment variables when it
// starts, and then does nothing.
package testsupport

import (
	"os"
	"runtime/debug"
	"slices"
	"strings"
)

const (
	dirVar  = "GOCOVERDIR"           // path of the directory for coverage data
	fileVar = "gons_reexec_coverdir" // child: number of the directory's descriptor; empty: there is none
)

// CheckAction is reexec.CheckAction, or nil in a program that does not use
// package reexec.
var CheckAction func()

// Package reexec, which takes all gons_ variables out of the environment, and
// package main, where a program built by "go build -cover" looks up GOCOVERDIR
// once and for all, are initialised later.
func init() {
	if number, ok := os.LookupEnv(fileVar); ok {
		covering = true
		takeDirectory(number)
	} else if path := os.Getenv(dirVar); path != "" && instrumented() {
		// If this does not work then the runtime cannot write its data either,
		// and says so.
		_, _ = collect(path, path)
	}
}

// instrumented tells whether this program was built with -cover.
func instrumented() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-cover", Value: "true"})
}

// WithoutWarnings returns what a child wrote to stderr, without the two lines
// that the runtime of an instrumented program writes there when nobody wants its
// coverage data. All else stays as it is.
func WithoutWarnings(stderr string) string {
	var rest strings.Builder
	for line := range strings.Lines(stderr) {
		switch line {
		case "warning: GOCOVERDIR not set, no coverage data emitted\n", "program not built with -cover\n":
		default:
			rest.WriteString(line)
		}
	}
	return rest.String()
}
