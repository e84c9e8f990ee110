package reexec

import (
	"io"
	"os/exec"
	"slices"
	"time"

	"example.com/gons/reexec/internal/birth"
)

// A ReexecActionOption sets one detail of a run: of a [Func], a [Worker], a [Stream] or
// a [ReexecAction].
type ReexecActionOption func(*ReexecAction)

// Namespaces has the child join these namespaces, in this order. [Target] is simpler
// where they are those of a process. Without either, and without [Unshare], the child is
// in the namespaces of its parent.
func Namespaces(namespaces []Namespace) ReexecActionOption {
	return func(a *ReexecAction) { a.Namespaces = namespaces }
}

// Target has the child join namespaces of a process, as "nsenter --target PID" does:
// those of these types, in this order, or, without types, all in which the process is and the parent is not, in
// the order in which they can be joined.
//
//	reexec.Target(pid, "net")
//
// With "mnt", or without types, the child also gets the root directory of the process, where that is another one than that of
// the mount namespace (chroot(2)): then it sees the files that the process sees.
//
// The process has to be one inside, such as the init of a container, which for example
// "docker inspect -f '{{.State.Pid}}' NAME" tells. What has started it (a container's
// runtime, "unshare --fork") is not in all of its namespaces. A process that has just been started may not be in its own
// namespaces yet: then nothing is joined, which is no error. So wait for a sign of it, such as a line that it prints, or
// until its /proc/PID/ns/net is another link ([os.Readlink]) than your own.
//
// The order matters for "user", which gives the rights to join the namespaces that belong to it, and takes away all others. So
// those that do not belong to it are named before, and the others after. Where the caller lacks CAP_SYS_ADMIN, and
// "user" does not come first, the child first joins the user namespace that owns the first of them. The types of
// [Namespaces] are joined after those of Target. A type that is named is left out only if the
// child is in that namespace anyway, and so not if [Unshare] or [Cmd] give it a new one.
//
// It is the process that has this PID when Target is called. The option keeps hold of it,
// so that no other process that gets the same PID is mistaken for it; the option may be
// used for any number of runs. If there is no such process, or if it has ended when a run
// begins, then that is the error of the run. Until the option is garbage, it keeps a descriptor open. So make one for a
// process and use it again, or make it right before its run.
//
// What a child sees below /sys and /proc belongs to its mount namespace, and to the namespaces in which these file systems were
// mounted. So after "net" alone /sys/class/net still shows the interfaces of the parent, while package net shows those inside.
//
// A child that joins only some namespaces of a container lives on when the container ends, and keeps them alive. With "pid" among them it
// ends together with the first process of that.
func Target(pid int, types ...string) ReexecActionOption {
	process, err := birth.Hold(pid, slices.Clone(types))
	return func(a *ReexecAction) {
		a.options.Joins.Targets = append(slices.Clip(a.options.Joins.Targets), birth.Target{Process: process, Err: err})
	}
}

// Unshare gives the child new namespaces of these types, as "unshare --map-root-user"
// does. An ordinary user needs "user" among them:
//
//	reexec.Unshare("user", "mnt")
//
// With "user" the caller's IDs are root's in there, and there are no others. With "mnt"
// all mounts are private: nobody else sees what the child mounts. With "net" the child sees an
// interface lo that is down.
//
// With "pid" the child is the first process of its PID namespace, and all processes in there end with it. It reaps all that become orphans in there, and
// so must not wait for them itself. What it has started it waits for as ever, if the thread that has started it is still there: a
// goroutine that ends while it is locked to its thread ([runtime.LockOSThread]) makes orphans.
//
// The namespaces are made before any is joined. So references are opened, and namespaces
// joined, with the rights that the child has in the new ones. Unshare applies after [Cmd],
// whose ID mappings take precedence.
func Unshare(types ...string) ReexecActionOption {
	types = slices.Clone(types)
	return func(a *ReexecAction) { a.options.Unshare = append(slices.Clip(a.options.Unshare), types...) }
}

// PreserveCredentials leaves a child that joins a user namespace its user, its group and its
// supplementary groups, as "nsenter --preserve-credentials" does. Without this option the child
// becomes root in there: user 0 and group 0 of the namespace, without supplementary groups.
//
// It is for user namespaces that do not map user 0, and for functions that need the files of
// their caller's user. It is a risk if the caller is root. Then the child is still the host's
// root, whatever it is called in there: a symbolic link in the container can lead it to any file
// of the host, what it writes belongs to the host's root, and a program that it starts runs as
// that. An ordinary user's child only has the rights of this user on the host.
//
// It has no effect on a child that joins no user namespace.
func PreserveCredentials() ReexecActionOption {
	return func(a *ReexecAction) { a.options.Joins.PreserveCredentials = true }
}

// Param sends an action a parameter, as JSON, on its stdin, and then end of file. Without
// it, or if param is nil, stdin is /dev/null. An action may leave its parameter unread.
// The parameter of a [Func] is an argument of its Call instead.
func Param(param interface{}) ReexecActionOption {
	return func(a *ReexecAction) { a.Param = param }
}

// Result decodes the answer of an action, one JSON value on its stdout, into result, a
// pointer. What follows the answer is dropped. Without it, or if result is nil, all of
// stdout is dropped. The result of a [Func] is what its Call returns instead.
func Result(result interface{}) ReexecActionOption {
	return func(a *ReexecAction) { a.Result = result }
}

// Environment gives the child these variables ("KEY=VALUE") in addition to, or in place
// of, those of the parent. Variables whose names start with gons_ are left out: they tell
// a child which namespaces to join.
func Environment(environment []string) ReexecActionOption {
	return func(a *ReexecAction) { a.Environment = environment }
}

// defaultGrace is the grace period without the option GracePeriod.
const defaultGrace = time.Second

// GracePeriod is how long a child may take to end by itself before it is killed: after
// its answer, after [Worker.Close], and, if its function obeys a context, after the end
// of that. It is also how long descendants may keep its pipes open after its end. Without
// this option it is 1 s. Zero or less is no grace at all.
func GracePeriod(d time.Duration) ReexecActionOption {
	return func(a *ReexecAction) { a.grace = &d }
}

// Stderr sends what the child writes to stderr on to w as it comes, and then it is no
// failure of an action any more. If w is nil, it is one again. Without this option stderr
// of a function goes to the parent's.
//
// Each run calls w.Write from one goroutine, and waits until it returns; only after the end of a
// context, after [Worker.Close], and after a loop is left, a Write that blocks is left behind. A w that serves
// several runs at a time must be safe for concurrent use. A w that calls the worker whose stderr it gets waits for
// itself. If w fails, the rest of stderr is dropped, and the run returns the error of w, unless a worse one happened.
func Stderr(w io.Writer) ReexecActionOption {
	return func(a *ReexecAction) { a.options.Stderr = w }
}

// Stdout sends what the child of a function prints to stdout on to w as it comes. Without it, or if w is nil, that is the
// parent's stdout. When [Worker.Call] returns, w has all that was printed before. All else is as for [Stderr]; an error of w is
// that of the call. Stdout of an action is its answer, so there the option panics.
func Stdout(w io.Writer) ReexecActionOption {
	return func(a *ReexecAction) { a.options.Stdout = w }
}

// Cmd lets tune change the command that starts the child: its working directory,
// credentials, a cgroup, Pdeathsig, ExtraFiles, or namespaces with ID mappings that
// [Unshare] does not offer. Several such options add up, in their order. If they set Dir, that is the child's PWD, too.
//
// Stdin, Stdout and Stderr of the command belong to the run and are set afterwards.
// ExtraFiles are numbered from 3 as always; those that the run itself needs follow. New
// namespaces (Cloneflags) and Credential take effect before namespaces are joined, for
// which the child may then lack the privileges; in a user namespace that it joins it becomes
// root all the same, unless [PreserveCredentials] is there, too. The first process of a new
// PID namespace cannot join another one.
//
// A child that joins a PID namespace is another process than the one that the command
// starts, so its PID is not that of the command.
//
// Pdeathsig is sent when the parent ends, not when one of its threads does
// (https://go.dev/issue/27505): until the child has ended, a thread is kept for it. Only
// the child of a worker, started by a goroutine that is locked to a thread itself
// ([runtime.LockOSThread]), depends on that goroutine's thread.
func Cmd(tune func(*exec.Cmd)) ReexecActionOption {
	return func(a *ReexecAction) {
		if tune != nil {
			a.options.Tune = append(slices.Clip(a.options.Tune), tune)
		}
	}
}

// Sealed has the child run from a sealed copy of the program in memory, so that no
// process in a container can write to the program's file by way of the child
// (CVE-2019-5736). Use it for containers that you do not trust and that have no user
// namespace of their own.
//
// The copy is made for the first child, is shared by all later ones, and takes as much
// memory as the program is large. Where the system forbids it, the error of the run says
// so.
func Sealed() ReexecActionOption {
	return func(a *ReexecAction) { a.options.Sealed = true }
}

// Concurrency has a [Worker] serve up to n calls at a time, each in a goroutine of its
// one child. Without it, it is one. It is for [Func.Start] only; other uses panic, and so
// does an n less than 1.
//
// A panic of one call ends the worker, and with it the other calls, whose errors wrap that
// panic. So does the end of a call's context, unless the function obeys it; see
// [RegisterFuncContext].
func Concurrency(n int) ReexecActionOption {
	if n < 1 {
		panic("gons/reexec: Concurrency: there must be at least one call at a time")
	}
	return func(a *ReexecAction) { a.options.Concurrency = n }
}
