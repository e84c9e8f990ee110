/*
Package reexec runs a piece of your own program in other Linux namespaces.

A Go process has many threads, but the kernel lets only a process with a single
one join a user namespace, and is nearly as picky about mount namespaces
(setns(2)). So the way in is a detour:

  - the program starts a copy of itself, a child;
  - a constructor in C (package [gons]) joins the namespaces there, before the Go
    runtime starts its threads;
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
		namespaces, err := reexec.NamespacesOf(pid, "user", "uts")
		if err != nil {
			log.Fatal(err)
		}
		name, err := hostname.Call(context.Background(), struct{}{}, reexec.Namespaces(namespaces))
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

The types are those of package gons: cgroup, ipc, mnt, net, pid, user, uts. See
[Namespace] for when a reference is opened, [NamespacesOf] for the namespaces of
a process, and [Cmd] for making new ones. The child inherits all others from the
calling thread.

Without cgo, or on other systems than Linux, everything works but for joining
namespaces, which is an error that wraps [errors.ErrUnsupported].

# Linux manual pages

namespaces(7), setns(2), user_namespaces(7), pid_namespaces(7), nsenter(1)

[gons]: https://pkg.go.dev/github.com/thediveo/gons
*/
package reexec
