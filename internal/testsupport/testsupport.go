// Package testsupport lets package reexec and its package testing work together.
// They cannot import each other, since then the tests inside package reexec
// could not use package testing.
package testsupport

import (
	"os"
	"os/exec"
	"strings"
)

// CheckAction is reexec.CheckAction, or nil in a program that does not use
// package reexec.
var CheckAction func()

func Cover(*exec.Cmd) {}

func Exit(code int) { os.Exit(code) }

func ExitOnPanic() {}

func WithoutWarnings(s string) string { return strings.TrimSpace(s) }
