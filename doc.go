/*
Package reexec calls functions of a Go program in other Linux namespaces, such as those
of a container, and returns their results.

[RegisterFunc] makes a function callable. [Func.Call] starts a copy of the program, a
child, which joins the namespaces before its Go runtime starts, runs the function, and
sends its result, error or panic back. This whole program asks for the hostname where a
process is:

	package main

	import (
		"context"
		"flag"
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
		flag.Parse()
		pid, err := strconv.Atoi(flag.Arg(0))
		if err != nil {
			log.Fatal("usage: hostname PID")
		}
		name, err := hostname.Call(context.Background(), struct{}{}, reexec.Target(pid, "user", "uts"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(name)
	}

Try it with

	unshare --user --map-root-user --uts sh -c 'hostname elsewhere; exec sleep 600' &
	go run . $!

Two rules make it work. Functions are registered before main begins, in package-level
variables or init functions. And [CheckAction] comes first in main.

The child is a new process. It runs the package initialisers of the program, but has
nothing that main has set, and no arguments: what a function needs is its parameter. It
cannot call functions of this package in turn; it may start other programs. Loggers, and what
else main would set up for the whole program, are set up in an init function.

# Functions, workers and streams

Func.Call runs the function in a child of its own, which takes some milliseconds.
[Func.Start] starts a [Worker], a child that serves any number of calls in the same
namespaces, each in some microseconds. The context of Start bounds the worker's life. A
[Stream] yields events as they come, until the loop over them ends.

Parameters, results and events arrive as they were sent, and open files in them as open
files. So a function can open something in a container, and its caller uses it outside. Package
[example.com/gons/reexec/inside] has such functions: they listen, dial, and open files.

# Namespaces

[Target] has the child join namespaces of a process, [Unshare] gives it new ones. All
others it inherits from the calling thread. The types are cgroup, ipc, mnt, net, pid, time,
user, uts. What a function sees depends on:

  - files: mnt
  - processes, mounts, all else below /proc: pid and mnt
  - network interfaces, addresses and sockets: net
  - names that are resolved as inside: net and mnt
  - the hostname: uts
  - clocks since boot: time
  - any of these in a rootless container: user, and first

[Namespaces] takes a list of references, which [NamespacesOf] and [NamespaceFile] make. A
child joins one namespace of each type at the most, and time after all others.

A child that joins a user namespace becomes root of it, as with nsenter(1), unless there is
[PreserveCredentials].

No run succeeds whose child has not reported that it is in all of these namespaces. If one
of them cannot be joined, the chain of the [*ActionError] holds a [*JoinError], which tells
which one that was, and why.

# Errors

An error that a function returns arrives as a [*FuncError], in which [errors.Is] finds what is the same on both sides, such as
[fs.ErrNotExist], [io.EOF] or a sentinel of [RegisterErrors]. A panic arrives as a [*PanicError]. All else is an
[*ActionError]. Where it matches [ErrNotStarted] the function has certainly not begun, and the call may be tried again.

# When a thread is enough

Only user and time namespaces refuse a process that has several threads, as each Go
program has (setns(2)). A goroutine that is locked to its thread can join the others by
itself, mnt after unshare(CLONE_FS), and pid for its children; this is faster than a child.
But only that goroutine is inside: what it calls must not start others, as package net/http
and resolvers do. A file of a container is read fastest as /proc/PID/root/PATH, unless the
path leads through absolute links. A child costs more, but all of its goroutines are inside,
and its crash is not that of the program.

# Actions

An [Action] is a function that talks to its parent by standard streams, as in
github.com/thediveo/gons/reexec, which this package succeeds: it reads its parameter from
stdin, writes its result to stdout, and has failed if it writes to stderr. [Register]
registers it, [RunReexecAction] runs it.

# Limits

Without cgo, with internal linking (-linkmode=internal), and on other systems than Linux,
functions run where their caller is, and a call that asks for namespaces returns an error that wraps
[errors.ErrUnsupported]. The go command leaves cgo out by itself when it builds for another
architecture: set CGO_ENABLED=1, and CC.

A child that joins namespaces is not dumpable (PR_SET_DUMPABLE in prctl(2)), so that
nobody in there can trace it. A function that is hampered by that can make its process
dumpable again; docs/security.md tells when this is so.

# Linux manual pages

namespaces(7), setns(2), user_namespaces(7), pid_namespaces(7), time_namespaces(7),
nsenter(1)
*/
package reexec
