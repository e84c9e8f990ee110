package reexec

import (
	"io"
	"os/exec"
	"slices"
	"time"

	"example.com/gons/reexec/internal/birth"
)

// A ReexecActionOption sets one detail of a [ReexecAction].
type ReexecActionOption func(*ReexecAction)

// Namespaces has the child join these namespaces, in this order, before it runs
// the action. Without it the child stays in the namespaces of its parent.
func Namespaces(namespaces []Namespace) ReexecActionOption {
	return func(a *ReexecAction) { a.Namespaces = namespaces }
}

// Target has the child join the namespaces of a process, as "nsenter --target PID" does:
// those of these types, or, without types, all; see [NamespacesOf]. Those of
// [Namespaces] are joined afterwards.
//
// It is the process that has this PID when Target is called, for example the first process of a
// container. The option keeps hold of it, with an open file that lasts as long as the option is
// in use. If it has ended when the run begins, or if there is no such process, then that is the run's error.
func Target(pid int, types ...string) ReexecActionOption {
	process, err := birth.Hold(pid, slices.Clone(types))
	return func(a *ReexecAction) { a.targets = append(a.targets, birth.Target{Process: process, Err: err}) }
}

// Param sends the action a parameter, as JSON, on its stdin; after it comes end
// of file. Without Param, or if param is nil, stdin is /dev/null. An action may
// leave its parameter unread.
func Param(param interface{}) ReexecActionOption {
	return func(a *ReexecAction) { a.Param = param }
}

// Result decodes the action's answer, one JSON value on its stdout, into result,
// which must be a pointer. What follows the answer is dropped. Without Result,
// or if result is nil, all of stdout is dropped.
func Result(result interface{}) ReexecActionOption {
	return func(a *ReexecAction) { a.Result = result }
}

// Environment gives the child these variables ("KEY=VALUE") in addition to, or
// in place of, those of the parent. Variables whose names start with gons_ are
// left out: they tell a child which namespaces to join, and only the action
// itself says that.
func Environment(environment []string) ReexecActionOption {
	return func(a *ReexecAction) { a.Environment = environment }
}

// defaultGrace is the grace period without the option GracePeriod.
const defaultGrace = time.Second

// GracePeriod is how long a child may linger after its answer has arrived (or
// has turned out to be undecodable) before it is killed, and how long its
// descendants may keep its pipes open after its end. Without it, it is 1 s. Zero
// or less is no grace at all.
func GracePeriod(d time.Duration) ReexecActionOption {
	return func(a *ReexecAction) { a.grace = &d }
}

// Stderr sends what the child writes to stderr on to w as it comes, and then it
// is no failure of the action any more. If w is nil, it is one again.
//
// Each run calls w.Write from one goroutine, and waits until it returns. A w that
// serves several runs at a time must be safe for concurrent use. If w fails, the
// rest of stderr is dropped, and the run returns the error of w, unless a worse
// one happened.
func Stderr(w io.Writer) ReexecActionOption {
	return func(a *ReexecAction) { a.stderr = w }
}

// Cmd lets tune have the last word on the child before it is started: new
// namespaces and their id maps, the working directory, credentials, a cgroup,
// Pdeathsig, ExtraFiles.
//
// Stdin, Stdout and Stderr of the command belong to the run and are set
// afterwards. ExtraFiles are numbered from 3 as always, and those that the run
// itself needs follow. New namespaces (Cloneflags) and Credential take effect before
// the Namespaces are joined, for which the child may then lack the privileges. The
// first process of a new PID namespace cannot join another one.
//
// A child that joins a PID namespace is another process than the one that tune's command
// starts: its PID is not that of the command.
//
// Pdeathsig is sent when the parent ends, not when one of its threads does
// (https://go.dev/issue/27505): until the child has ended, a thread is kept for
// it. Only the child of a worker, started by a goroutine that is locked to a thread
// itself ([runtime.LockOSThread]), depends on that goroutine's thread.
func Cmd(tune func(*exec.Cmd)) ReexecActionOption {
	return func(a *ReexecAction) { a.tune = tune }
}

// Unshare gives the child new namespaces of these types, as "unshare --map-root-user" does: with "user" the
// caller's IDs are root in there, and nobody else has any; with "mnt" all mounts are private, so that what the child
// mounts is seen by nobody else. An ordinary user needs "user" among them.
//
// They are made before any namespace is joined, whose references are then opened with the rights that the
// child has in the new ones. It applies after [Cmd], whose mappings of IDs are left alone.
func Unshare(types ...string) ReexecActionOption {
	types = slices.Clone(types)
	return func(a *ReexecAction) { a.unshared = append(slices.Clip(a.unshared), types...) }
}

// Sealed has the child run from a sealed copy of the program in memory, so that no process in a container can
// write to the program's file by way of the child (CVE-2019-5736). There is one copy for all children; it is made
// when the first one is started, and takes as much memory as the program is large. Where the system forbids that, the
// run's error says so.
func Sealed() ReexecActionOption {
	return func(a *ReexecAction) { a.sealed = true }
}

// Concurrency has a [Worker] serve up to n calls at a time, each in a goroutine of its one child.
// Without it, it is one. It is for [Func.Start] only; other uses panic, and so does an n less than 1.
//
// A panic of one call ends the worker, and so the other calls. So does the end of a call's context, if
// the function does not obey to it; see [RegisterFuncContext].
func Concurrency(n int) ReexecActionOption {
	if n < 1 {
		panic("gons/reexec: Concurrency: there must be at least one call at a time")
	}
	return func(a *ReexecAction) { a.concurrency = n }
}
