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

README.md tells how to set up a module for it. Try it with

	unshare --user --map-root-user --uts sh -c 'hostname elsewhere; exec sleep 600' &
	go run . $!

Two rules make it work:

  - Register functions before main begins, in package-level variables or init functions.
  - Call [CheckAction] first in main.

The child is a new process without arguments. It runs the package initialisers of the
program, and CheckAction, but nothing of main behind that. So a function gets what it needs
as its parameter, and loggers and the like are set up in an init function. A function cannot
call functions of this package in turn; it may start other programs.

# Functions, workers and streams

There are three ways to run a function:

  - [Func.Call] runs it in a child of its own, which takes some milliseconds.
  - [Func.Start] starts a [Worker]: one child that serves any number of calls in the same
    namespaces, each in some microseconds. The context of Start bounds the worker's life.
  - [Stream.Call] runs a function that yields events, for a loop over them.

Parameters, results and events arrive as they were sent, and open files in them as open
files. So a function can open something in a container, and its caller uses it outside. Package
[example.com/gons/reexec/inside] has such functions: they listen, dial, and open files.

A function of [RegisterFuncContext] or [RegisterStream] learns when the context of its call
ends, and has time to clean up. One of [RegisterFunc] is killed.

# Options

Options say how a run differs from a plain one:

  - where: [Target], [Namespaces] and [Unshare], and [PreserveCredentials] for its user there
  - what becomes of its output: [Stdout] and [Stderr]
  - how long a child may take to end by itself: [GracePeriod]
  - how many calls a worker serves at a time: [Concurrency]
  - what else its process is: [Environment], [Cmd] and [Sealed]

# Namespaces

[Target] makes the child join namespaces of a process, [Unshare] gives it new ones. All
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
child joins at most one namespace of each type.

A child that joins a user namespace becomes root of it, as with nsenter(1). The option
[PreserveCredentials] leaves it the user of its parent.

A run succeeds only if its child has reported that it is in all of these namespaces.

# Errors

The type of an error tells what went wrong:

  - [*FuncError]: the function has returned an error. [errors.Is] finds in it what is the same
    on both sides, such as [io/fs.ErrNotExist] and [io.EOF]; [RegisterErrors] adds errors of
    your own.
  - [*PanicError]: the function has panicked.
  - [*ActionError]: all else, such as the end of the context or of the child. If the child could
    not join a namespace, a [*JoinError] is in its chain.

If [errors.Is] finds [ErrNotStarted], the function has certainly not begun, and you may call it
again. The format %+v prints what else is known: the stack of a panic; what the child wrote to
stderr; and where the goroutines of a child were that was killed at the end of a context.
A method Timeout tells whether a time limit was the cause. Programming mistakes panic.

# When a thread is enough

A locked goroutine ([runtime.LockOSThread]) can join other namespaces by itself, which is
faster than a child: all but user and time namespaces, which refuse a process that has several
threads, as each Go program has (setns(2)); mnt after unshare(CLONE_FS), and pid for its
children. But only that goroutine is inside: what it calls must not start others, as package
net/http and resolvers do. A file of a container is read fastest as /proc/PID/root/PATH, unless
the path leads through absolute links. A child costs more, but all of its goroutines are
inside, and its crash is not that of the program.

# Actions

An [Action] is a function that talks to its parent by standard streams, as in
github.com/thediveo/gons/reexec, which this package succeeds: it reads its parameter from
stdin, writes its result to stdout, and has failed if it writes to stderr. [Register]
registers it, [RunReexecAction] runs it.

# Limits

Without cgo, with internal linking (-linkmode=internal), and on other unixes than Linux,
functions run where their caller is, and a call that asks for namespaces returns an error that
wraps [errors.ErrUnsupported]. On other systems, such as Windows, each call does. The go command
leaves cgo out when it builds for another architecture: set CGO_ENABLED=1, and CC.

A child that joins namespaces is not dumpable (PR_SET_DUMPABLE in prctl(2)), so that no process
in there can trace it. If that hampers a function, it can make its process dumpable again;
docs/security.md tells when.

# Linux manual pages

namespaces(7), setns(2), user_namespaces(7), pid_namespaces(7), time_namespaces(7),
nsenter(1)
*/
package reexec
