// Package testsupport makes children leave their coverage data where Go finds it, notes which of them had data races,
// and lets package reexec and its package testing work together. These two
// cannot import each other, since then the tests inside package reexec could not
// use package testing.
//
// An instrumented program writes its coverage data into the directory GOCOVERDIR
// (https://go.dev/doc/build-cover). A parent hands this directory to its children
// twice: by its path, and as an open file for where this path leads elsewhere.
// A program that is not instrumented looks at two variables when it
// starts, and then does nothing. This package is for those that start or end a child: the root,
// package child, and package testing.
package testsupport

import (
	"os"
	"runtime/debug"
	"slices"
	"sync"

	"example.com/gons/reexec/internal/birth"
)

const (
	dirVar  = "GOCOVERDIR"              // path of the directory for coverage data
	fileVar = "gons_reexec_fd_coverdir" // child: number of the directory's descriptor, or none
)

// CheckAction is reexec.CheckAction, or nil in a program that does not use
// package reexec.
var CheckAction func()

// Package reexec, which takes all gons_ variables out of the environment, and
// package main, where a program built by "go build -cover" looks up GOCOVERDIR
// once and for all, are initialised later.
func init() {
	if number := birth.Order(fileVar); number != "" {
		covering = true
		takeDirectory(number)
	} else if path := os.Getenv(dirVar); path != "" && Instrumented() {
		// If this does not work then the runtime cannot write its data either,
		// and says so.
		_, _ = Collect(path, path)
	}
}

// Instrumented tells whether this program was built with -cover.
var Instrumented = sync.OnceValue(func() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-cover", Value: "true"})
})
