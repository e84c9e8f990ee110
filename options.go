package reexec

import (
	"io"
	"os/exec"
	"slices"
	"time"

	"example.com/gons/reexec/internal/birth"
)

// A ReexecActionOption sets one detail of a run: of a [Func], a [Worker], a [Stream] or a
// [ReexecAction].
type ReexecActionOption func(*ReexecAction)

// Namespaces makes the child join these namespaces, in this order. [Target] is simpler for those of
// a process. Without either, and without [Unshare], the child is in the namespaces of its parent.
func Namespaces(namespaces []Namespace) ReexecActionOption {
	return func(a *ReexecAction) { a.Namespaces = namespaces }
}

// Target makes the child join namespaces of a process, as "nsenter --target PID" does:
//
//	reexec.Target(pid, "net")
//	reexec.Target(pid, "user", "net") // of a rootless container
//
// With types it joins these, in this order. Without types it joins all in which the process is and
// the parent is not, in the order in which they can be joined.
//
// The process has to be one inside, such as the init of a container, which for example "docker
// inspect -f '{{.State.Pid}}' NAME" tells. A process that has started it (a container's runtime,
// "unshare --fork") is not in all of its namespaces. A process that has just started may not be in
// its own namespaces yet: then nothing is joined, which is no error. So wait for a sign of it, such
// as a line that it prints, or until its /proc/PID/ns/net is another link ([os.Readlink]) than your
// own.
//
// With "mnt", or without types, the child also enters the root directory of the process
// (chroot(2)), if that is another one than that of the mount namespace: then it sees the files that
// the process sees.
//
// The order matters for "user", which gives the rights to join the namespaces that belong to it,
// and takes away all others. So name those that do not belong to it before, and the others after.
// If the caller lacks CAP_SYS_ADMIN, and "user" does not come first, the child first joins the user
// namespace that owns the first of them. The child joins those of [Namespaces] after those of
// Target. A namespace that the child is in anyway is left out, unless its type is named, and
// [Unshare] or [Cmd] give the child a new one.
//
// Target means the process that has this PID when Target is called. The option keeps hold of it, so
// that no other process that gets the same PID is mistaken for it, and may be used for any number
// of runs. If there is no such process, or if it has ended when a run begins, then that is the
// error of the run. The option keeps a descriptor open until it is garbage. So make one for a
// process and use it again, or make it right before its run.
//
// What a child sees below /sys and /proc belongs to its mount namespace, and to the namespaces in
// which these file systems were mounted. So after "net" alone /sys/class/net still shows the
// interfaces of the parent, while package net shows those inside.
//
// A child that joins only some namespaces of a container outlives it, and keeps them alive. With
// "pid" among them it ends together with the first process of that PID namespace.
func Target(pid int, types ...string) ReexecActionOption {
	process := birth.Hold(pid, slices.Clone(types))
	return func(a *ReexecAction) { a.options.Joins.Targets = append(slices.Clip(a.options.Joins.Targets), process) }
}

// Unshare gives the child new namespaces of these types, as "unshare --map-root-user" does. An
// ordinary user needs "user" among them:
//
//	reexec.Unshare("user", "mnt")
//
// With "user" the caller's IDs are root's in there, and there are no others. With "mnt" all mounts
// are private: only the child, and what it starts, sees what it mounts. With "net" the child has
// just an interface lo, which is down.
//
// With "pid" the child is the first process of its PID namespace, and all processes in there end
// with it. It reaps those that become orphans, and so must not wait for them itself. It waits for
// what the function has started as ever, if the thread that has started it is still there: a
// goroutine that ends while it is locked to its thread ([runtime.LockOSThread]) makes orphans. What
// package initialisers have started is reaped as orphans are.
//
// The namespaces are made before any is joined. So references are opened, and namespaces joined,
// with the rights that the child has in the new ones. Unshare applies after [Cmd], whose ID
// mappings take precedence.
func Unshare(types ...string) ReexecActionOption {
	types = slices.Clone(types)
	return func(a *ReexecAction) { a.options.Unshare = append(slices.Clip(a.options.Unshare), types...) }
}

// PreserveCredentials leaves a child that joins a user namespace its user, its group and its
// supplementary groups, as "nsenter --preserve-credentials" does. Without this option the child
// becomes root in there: user 0 and group 0 of the namespace, without supplementary groups.
//
// Use it for user namespaces that do not map user 0, and for functions that need the files of their
// caller's user.
//
// It is a risk if the caller is root. Then the child is still the host's root, whatever it is
// called in there: a symbolic link in the container can lead it to any file of the host, what it
// writes belongs to the host's root, and a program that it starts runs as the host's root. An
// ordinary user's child only has the rights of this user on the host.
//
// It has no effect on a child that joins no user namespace.
func PreserveCredentials() ReexecActionOption {
	return func(a *ReexecAction) { a.options.Joins.PreserveCredentials = true }
}

// Param sends an action a parameter, as JSON, on its stdin, and then end of file. Without it, or if
// param is nil, stdin is /dev/null. An action may leave its parameter unread. A [Func] takes its
// parameter as an argument of Call instead.
func Param(param interface{}) ReexecActionOption {
	return func(a *ReexecAction) { a.Param = param }
}

// Result decodes the answer of an action, one JSON value on its stdout, into result, a pointer.
// What follows the answer is dropped. Without Result, or if result is nil, all of stdout is
// dropped. A [Func] returns its result from Call instead.
func Result(result interface{}) ReexecActionOption {
	return func(a *ReexecAction) { a.Result = result }
}

// Environment gives the child these variables ("KEY=VALUE") in addition to, or in place of, those
// of the parent. The last Environment counts. It leaves out variables whose names start with gons_:
// they would tell a child which namespaces to join.
func Environment(environment []string) ReexecActionOption {
	return func(a *ReexecAction) { a.Environment = environment }
}

// defaultGrace applies without the option GracePeriod.
const defaultGrace = time.Second

// GracePeriod is how long a child may take to end by itself before it is killed: after its answer,
// after [Worker.Close], and, if its function obeys a context, after the end of that. For as long,
// descendants may keep its pipes open after its end. Without this option it is 1 s. Zero or less is
// no grace at all.
func GracePeriod(d time.Duration) ReexecActionOption {
	return func(a *ReexecAction) { a.grace = &d }
}

// Stderr sends what the child writes to stderr on to w as it comes. Without it, or if w is nil,
// stderr of a function goes to the parent's, and stderr of an action means that it has failed; with
// it, it does not.
//
// Each run calls w.Write from one goroutine, and waits until it returns. Only after the end of a
// context, after [Worker.Close], and after a loop is left, it leaves a Write behind that blocks. A
// w that serves several runs at a time must be safe for concurrent use. A w must not call the
// worker whose stderr it gets: it would wait for itself. If w fails, the rest of stderr is dropped,
// and the run returns the error of w, unless it has a worse one.
func Stderr(w io.Writer) ReexecActionOption {
	return func(a *ReexecAction) { a.options.Stderr = w }
}

// Stdout sends what the child of a function prints to stdout on to w as it comes. Without it, or if
// w is nil, it goes to the parent's stdout. When [Worker.Call] returns, w has all that was printed
// before. All else is as for [Stderr]. A w that gets both must be safe for concurrent use.
//
// It is for functions only, and panics for an action, whose stdout is its answer.
func Stdout(w io.Writer) ReexecActionOption {
	return func(a *ReexecAction) { a.options.Stdout = w }
}

// Cmd lets tune change the command that starts the child: its working directory, credentials, a
// cgroup, Pdeathsig, ExtraFiles, or namespaces with ID mappings that [Unshare] does not offer.
// Several such options add up, in their order. If they set Dir, that is the child's PWD, too.
//
// Stdin, Stdout and Stderr of the command belong to the run and are set afterwards. ExtraFiles are
// numbered from 3 as always; those that the run itself needs follow.
//
// New namespaces (Cloneflags) and Credential take effect before namespaces are joined, for which
// the child may then lack the privileges. In a user namespace that it joins it becomes root all the
// same, unless there is [PreserveCredentials]. The first process of a new PID namespace cannot join
// another one. A child that joins a PID namespace is another process than the one that the command
// starts, so its PID is not that of the command.
//
// Pdeathsig is sent when the parent ends, not when one of its threads does
// (https://go.dev/issue/27505): until the child has ended, a thread is kept for it. Only the child
// of a worker that was started by a goroutine locked to a thread ([runtime.LockOSThread]) depends
// on the thread of that goroutine.
func Cmd(tune func(*exec.Cmd)) ReexecActionOption {
	return func(a *ReexecAction) {
		if tune != nil {
			a.options.Tune = append(slices.Clip(a.options.Tune), tune)
		}
	}
}

// Sealed runs the child from a sealed copy of the program in memory, so that no process in a
// container can write to the program's file by way of the child (CVE-2019-5736). Use it for
// containers that you do not trust and that have no user namespace of their own.
//
// The copy is made for the first child, is shared by all later ones, and takes as much memory as
// the program is large. Where the system forbids it, the error of the run says so.
func Sealed() ReexecActionOption {
	return func(a *ReexecAction) { a.options.Sealed = true }
}

// Concurrency lets a [Worker] serve up to n calls at a time, each in a goroutine of its one child.
// Without it, it serves one. It is for [Func.Start] only: all other runs panic, and so does
// Concurrency if n is less than 1.
//
// A panic of one call ends the worker, and with it the other calls, whose errors wrap that panic.
// So does the end of a call's context, unless the function obeys it; see [RegisterFuncContext].
func Concurrency(n int) ReexecActionOption {
	if n < 1 {
		panic("gons/reexec: Concurrency: there must be at least one call at a time")
	}
	return func(a *ReexecAction) { a.options.Concurrency = n }
}
