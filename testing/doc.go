/*
Package testing is for tests of programs that use package reexec. It counts the coverage of the
children, and makes the tests fail if the race detector finds a data race in one.

A test binary that starts copies of itself needs a test main, so that a copy runs
its action instead of the tests. [M] takes the place of [testing.M] there. This is
a whole test:

	package hostname

	import (
		"fmt"
		"os"
		"testing"

		"example.com/gons/reexec"
		rxtesting "example.com/gons/reexec/testing"
	)

	func init() {
		reexec.Register("hostname", func() {
			name, _ := os.Hostname()
			fmt.Printf("%q", name)
		})
	}

	func TestMain(m *testing.M) {
		os.Exit((&rxtesting.M{M: m}).Run())
	}

	func TestHostname(t *testing.T) {
		var name string
		if err := reexec.RunReexecAction("hostname", reexec.Result(&name)); err != nil {
			t.Fatal(err)
		}
	}

Now “go test -cover” counts what the children do, in the percentage that it prints
as well as in the profile. So do -coverpkg, -race, Ginkgo's CLI, and a test binary
that is run by hand.

# Data races

With “go test -race” the children have the race detector, too. A child with a data race
ends with exit status 66. The error of its call tells that, or that of reexec.Worker.Close, which few
tests look at. So [M.Run] returns 1 then, even if all tests have passed, and tells which function it was:

	FAIL: data race in a re-executed child, which ran "hostname" (see its stderr)

The report of the race detector is on the stderr of the tests, or where reexec.Stderr sends it; that of an
action is in its error. So a child that was killed, as at the end of the context of reexec.Func.Start, is found out,
too. Close workers all the same: what a child says after the last test comes too late.

# How coverage works

A test binary built for coverage writes its data when it ends in [os.Exit], into
the directory GOCOVERDIR. After the tests [testing.M.Run] adds up all that it finds
in the directory given by the flag -test.gocoverdir, or in a temporary one. M sets
this directory and passes it to each child, by path and as an open file, as another
directory, or none, may be at that path in another mount namespace. A child that
ends, or panics, changes to it before it writes its data.

A program built by “go build -cover” needs no M: if GOCOVERDIR is set, its
children write their data there, too, whatever mount namespace they are in. But
an action should not change its own root directory, since Go then does not find the
directory any more.

# What cannot be done

Go writes coverage data only in [os.Exit], and into files, so it loses:

  - the data of a child that is killed, also by its parent: because its context has
    ended, or because it lingers for longer than its grace period;
  - the data of a child that panics in another goroutine than that of its action,
    or dies of a fatal error;
  - the data of an action that runs before package main is initialised, as
    reexec.CheckAction does when it is called from an init function;
  - the data of an action that calls os.Exit by itself, instead of returning, in a
    mount namespace without /proc, or with the /proc of a PID namespace that
    the child is not in;
  - the data of a child that finds no room on the disk. The action itself does not fail for that.

Children of root may be other users, as root of a rootless container is: while the tests of root run, the
directory is open to all.

Where a test panics or times out, Go itself counts nothing. A test binary that was
not started by the go command then leaves a temporary directory behind, named
reexec-coverage-….
*/
package testing
