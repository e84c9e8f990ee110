//go:build !linux

package birth

import (
	"context"
	"os"
	"os/exec"
)

// Start starts a child. [Joins.Open] has seen that there are no namespaces to be joined.
func Start(_ context.Context, cmd *exec.Cmd, _ []Ref, _ bool) (child *exec.Cmd, err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return cmd, nil
}

// Run runs the action of a child.
func Run(action func()) { action() }

// cannotObey returns errSecure in a set-user-ID program.
func cannotObey() error {
	if os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() {
		return errSecure
	}
	return nil
}

// A Process has no namespaces.
type Process struct{ types []string }

// Hold returns a process whose namespaces cannot be found.
func Hold(int, []string) *Process { return new(Process) }

// Close does nothing.
func (*Process) Close() {}

// Ended is never called.
func (*Process) Ended() error { return nil }

// Open returns an error that wraps [errors.ErrUnsupported].
func (*Process) Open(uintptr) ([]Ref, error) { return nil, CannotJoin() }

// withOwner is never called.
func withOwner(refs []Ref, _ uintptr) []Ref { return refs }

// reopen is never called.
func reopen(string) *os.File { return nil }

// File returns an error that wraps [errors.ErrUnsupported].
func File(*os.File) (Ref, error) { return Ref{}, CannotJoin() }
