// Package birth starts processes in namespaces.
//
// A child joins its namespaces in a constructor in C (constructor.c), before its
// Go runtime starts, and reports to its parent (report_linux.go). Without this report the start
// fails. No thread of the parent ever joins a namespace.
//
// It also finds the namespaces of other processes (find_linux.go).
package birth

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A Ref refers to a namespace; see Namespace in the root.
type Ref struct {
	Type string // with or without bang
	Path string
	File *os.File // the namespace itself, if it is open already
	sent string   // how the child names that file: by a path, or by its number
}

// Kind returns the type without bang.
func (r Ref) Kind() string { return strings.TrimPrefix(r.Type, "!") }

// kinds are the types of namespaces, in the order in which nsenter(1) joins them.
// Package gons knows all but the last.
var kinds = []string{"user", "mnt", "cgroup", "ipc", "net", "pid", "uts", "time"}

// Close closes those namespaces that are open.
func Close(refs []Ref) {
	for _, ref := range refs {
		_ = ref.File.Close() // or nothing: nil
	}
}

// check returns an error if a type is unknown, as one that bears a bang is, or there more than once.
func check(types []string) error {
	for _, kind := range types {
		if !slices.Contains(kinds, kind) {
			return fmt.Errorf("unknown namespace type %q, known are %s", kind, strings.Join(kinds, ", "))
		}
	}
	return checkOnce(types)
}

// kindsOf returns the types of references, without bangs.
func kindsOf(refs []Ref) (types []string) {
	for _, ref := range refs {
		types = append(types, ref.Kind())
	}
	return types
}

// checkOnce returns an error if there is a type more than once.
func checkOnce(types []string) error {
	for i, kind := range types {
		if slices.Contains(types[:i], kind) {
			return fmt.Errorf("duplicate namespace order type %s: a child is in one namespace of each type", kind)
		}
	}
	return nil
}

// A JoinError says why a child could not join a namespace.
type JoinError struct {
	Kind, Path string // empty if the error is not about a particular namespace
	Err        error
	Text       string // in the words of package gons
}

func (e *JoinError) Error() string { return e.Text }
func (e *JoinError) Unwrap() error { return e.Err }

// errSecure is why a set-user-ID program starts no children.
var errSecure = errors.New("a set-user-ID program, or one with file capabilities, must not have " +
	"children that obey their environment, which is that of whoever runs it")

var (
	// ErrKilled says that the end of the context killed a child before it had joined its namespaces.
	ErrKilled = errors.New("child was killed before it had joined its namespaces")

	// ErrNoReport says that a child has ended, or has closed the socket, without a report.
	ErrNoReport = errors.New("child has not reported that it has joined its namespaces")
)
