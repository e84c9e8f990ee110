// Package testsupport makes children leave their coverage data where Go finds it, notes which of them had data races,
// and lets package reexec and its package testing work together. These two
// cannot import each other, since then the tests inside package reexec could not
// use package testing.
//
// An instrumented program writes its coverage data into the directory GOCOVERDIR
// (https://go.dev/doc/build-cover). A parent hands this directory to its children
// twice: by its path, and as an open file for where this path leads elsewhere.
// A program that is not instrumented looks at two variables when it
// starts, and then does nothing. It is for those that start or end a child: the root,
// package child, and package testing.
package testsupport

import (
	"bytes"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"example.com/gons/reexec/internal/birth"
)

const (
	dirVar  = "GOCOVERDIR"           // path of the directory for coverage data
	fileVar = "gons_reexec_coverdir" // child: number of the directory's descriptor, or none; the constructor reads it, too (internal/birth/constructor.c)
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
		_, _ = collect(path, path)
	}
}

// Instrumented tells whether this program was built with -cover.
var Instrumented = sync.OnceValue(func() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-cover", Value: "true"})
})

// coverWarnings are what the runtime of an instrumented program writes to stderr when GOCOVERDIR is not set.
var coverWarnings = []string{
	"warning: GOCOVERDIR not set, no coverage data emitted\n",
	"program not built with -cover\n",
}

// coverFailures are how lines begin in which that runtime says that it could not write the data, as on a full disk. An empty
// line may follow. The data is lost; that the action has failed would be wrong.
var coverFailures = []string{
	"error: coverage meta-data prep failed: ",
	"error: coverage meta-data emit failed: ",
	"error: coverage counter data emit failed: ",
}

// warnings are lines that the runtimes of children of this program write to stderr, and that no caller wants to see.
// Numbers in them are 0. One that does not end in a newline is the beginning of a line.
var warnings = func() []string {
	if Instrumented() {
		return slices.Concat(coverWarnings, coverFailures, raceWarnings)
	}
	return raceWarnings
}

// Warnings takes these lines out of what a child writes to stderr. All else,
// and everything in a program that writes no such lines, stays as it is.
//
// The runtime writes a warning at once, and a pipe keeps so few bytes together (PIPE_BUF, pipe(7)). So a reader has a
// warning whole, unless its buffer is full: then the rest is in the pipe already.
type Warnings struct {
	held      []byte // the beginning of a line that may become a warning
	inLine    bool   // the rest of the line is no warning
	inFailure bool   // the rest of the line is the end of a coverFailure
	failed    bool   // the line before was one
}

// Held returns how many bytes are held back. If there is nothing more to read, Strip must be called again without any.
func (w *Warnings) Held() int { return len(w.held) }

// Strip returns what is left of the next part of stderr, which it may overwrite. If the part is cut, as it fills a buffer,
// Strip may hold back its end.
func (w *Warnings) Strip(b []byte, cut bool) []byte {
	warnings := warnings()
	if len(warnings) == 0 {
		return b
	}
	if len(w.held) > 0 {
		b, w.held = append(w.held, b...), nil
	}
	rest := b[:0]
	for line := range bytes.Lines(b) {
		ends := line[len(line)-1] == '\n'
		if w.inFailure || w.failed && line[0] == '\n' {
			w.inFailure, w.failed = !ends, w.inFailure && ends
			continue
		}
		w.failed = false
		if !w.inLine {
			said := withoutNumbers(line[:min(len(line), maxWarning)])
			switch {
			case slices.ContainsFunc(warnings, func(warning string) bool {
				return !strings.HasSuffix(warning, "\n") && strings.HasPrefix(said, warning)
			}):
				w.inFailure, w.failed = !ends, ends
				continue
			case slices.Contains(warnings, said):
				continue
			case cut && !ends && len(line) < maxWarning &&
				slices.ContainsFunc(warnings, func(warning string) bool { return strings.HasPrefix(warning, said) }):
				w.held = slices.Clone(line)
				continue
			}
		}
		rest = append(rest, line...)
		w.inLine = !ends
	}
	return rest
}

// maxWarning is more than any warning has bytes.
const maxWarning = 200

// withoutNumbers returns a text in which each number is 0.
func withoutNumbers(text []byte) string {
	isDigit := func(b byte) bool { return '0' <= b && b <= '9' }
	out := make([]byte, 0, maxWarning)
	for i, b := range text {
		switch {
		case !isDigit(b):
			out = append(out, b)
		case i == 0 || !isDigit(text[i-1]):
			out = append(out, '0')
		}
	}
	return string(out)
}
