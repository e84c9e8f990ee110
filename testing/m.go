package testing

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"example.com/gons/reexec/internal/testsupport"
)

// M is a [testing.M] for packages that re-execute their own test binary.
type M struct{ *testing.M }

// Run runs the action in a child, and then never returns. In any other process it runs the tests,
// which can start children, and returns the exit code for [os.Exit]. All actions must have been
// registered by then.
//
// With the race detector, a data race in a child fails the tests, as one in a test does, even if no
// test looks at the error of the child's call or worker.
//
// With coverage on, the data of the children counts like that of the tests themselves. Run then
// parses the command line, as [testing.M.Run] would.
func (m *M) Run() (exitcode int) {
	if testsupport.CheckAction != nil {
		testsupport.CheckAction()
	}
	if testing.CoverMode() != "" {
		done, err := collect()
		if err != nil {
			fmt.Fprintf(os.Stderr, "cannot collect coverage data of re-executed children: %v\n", err)
			return 2 // as package testing does for coverage data of its own
		}
		defer done()
	}
	exitcode = m.M.Run()
	for _, action := range testsupport.Racy() {
		fmt.Fprintf(os.Stderr, "FAIL: data race in a re-executed child, which ran %q (see its stderr)\n", action)
		exitcode = max(exitcode, 1)
	}
	return exitcode
}

// TestMainWithCoverage runs the tests and exits.
//
// Deprecated: use os.Exit((&M{M: m}).Run()) instead.
func TestMainWithCoverage(m *testing.M) {
	os.Exit((&M{M: m}).Run())
}

// collect makes children leave their coverage data where package testing looks for it after the
// tests: in the directory that a flag names.
func collect() (done func(), err error) {
	if !flag.Parsed() {
		flag.Parse()
	}
	f := flag.Lookup("test.gocoverdir").Value
	dir, remove := f.String(), func() {}
	if dir == "" { // not started by the go command
		if dir, err = os.MkdirTemp("", "reexec-coverage-"); err != nil {
			return nil, err
		}
		remove = func() {
			if err := os.RemoveAll(dir); err != nil {
				fmt.Fprintf(os.Stderr, "cannot remove coverage data: %v\n", err)
			}
		}
	}
	path, err := testsupport.Collect(dir, "")
	if err != nil {
		remove()
		return nil, err
	}
	_ = f.Set(path) // tests may change the working directory
	restore := share(path)
	return func() {
		restore()
		remove()
	}, nil
}

// share lets the children of root write into a directory, whoever they are: root of a rootless container is another user
// here. If that fails, their data is lost.
func share(dir string) (restore func()) {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 || os.Chmod(dir, os.ModeSticky|0o777) != nil {
		return func() {}
	}
	return func() { _ = os.Chmod(dir, info.Mode()) }
}
