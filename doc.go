/*
Package reexec runs a piece of your own program in other Linux namespaces.

A Go process has many threads, but the kernel lets only a process with a single
one join a user namespace, and is nearly as picky about mount namespaces
(setns(2)). So the way in is a detour:

  - the program starts a copy of itself, a child;
  - a constructor in C joins the namespaces there (by package [gons]), before the Go
    runtime starts its threads, and reports to the parent;
  - the child runs one registered function, sends its result back, and ends.

The whole program below asks for the hostname in the UTS namespace of a process,
such as one in a container:

	package main

	import (
		"context"
		"fmt"
		"log"
		"os"
		"strconv"

		"example.com/gons/reexec"
	)

	var hostname = reexec.RegisterFunc("hostname",
		func(struct{}) (string, error) { return os.Hostname() })

	func main() {
		reexec.CheckAction() // runs the function, in a child; else does nothing
		pid, err := strconv.Atoi(os.Args[1])
		if err != nil {
			log.Fatal(err)
		}
		name, err := hostname.Call(context.Background(), struct{}{}, reexec.Target(pid, "user", "uts"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(name)
	}

Try it with

	unshare --user --map-root-user --uts sh -c 'hostname elsewhere; exec sleep 60' &
	go run . $!

# Functions and actions

A [Func] takes a parameter and returns a result and an error, all of which travel
as JSON. [Func.Call] runs it in a child of its own; [Func.Start] starts a
[Worker], a child that serves any number of calls in the same namespaces.

An [Action] is the simpler thing below, and all there is in
github.com/thediveo/gons/reexec, which this package succeeds: it reads its
parameter from stdin, writes its result to stdout, and has failed if it writes
to stderr. [Register] registers it, [RunReexecAction] runs it.

Both must be registered, in package-level variables or init functions, before
main calls [CheckAction].

# Namespaces

[Target] has a child join the namespaces of a process. [Namespaces] takes a list
of references instead; [NamespacesOf] and [NamespaceFile] make such references, and
[Namespace] tells when they are opened. [Cmd] can give the child new namespaces. All
others it inherits from the calling thread.

The types are cgroup, ipc, mnt, net, pid, time, user, uts. A child joins one
namespace of each type at the most. A time namespace comes after all others.

No run succeeds whose child has not reported that it is in all of these namespaces.
If one of them cannot be joined, then in the chain of the [*ActionError] there is a
[*JoinError], which tells which one that was, and why.

A child that joins namespaces is not dumpable (PR_SET_DUMPABLE in prctl(2)), so that
nobody in there can trace it. A function that is hampered by that can make its
process dumpable again; docs/security.md tells when this is so.

Without cgo, with internal linking (-linkmode=internal), or on other systems than
Linux, everything works but for joining namespaces, which is an error that wraps
[errors.ErrUnsupported].

# Linux manual pages

namespaces(7), setns(2), user_namespaces(7), pid_namespaces(7), time_namespaces(7),
nsenter(1)

[gons]: https://pkg.go.dev/github.com/thediveo/gons
*/
package reexec
