package reexec

import (
	"fmt"
	"os"
	"strings"
)

// A Namespace refers to a namespace that a child is to join.
//
// With a bang the reference is opened before the first namespace is joined;
// without, right when its turn comes, so that after a mount namespace it is
// looked up in that one. Usually everything but the mount namespace bears a bang.
type Namespace struct {
	Type string // "cgroup", "ipc", "mnt", "net", "pid", "user" or "uts", or one of them after a bang: "!net"
	Path string // such as "/proc/42/ns/net"
}

// kind returns the type without bang.
func (ns Namespace) kind() string { return strings.TrimPrefix(ns.Type, "!") }

// early tells whether the reference is opened before the first namespace is
// joined.
func (ns Namespace) early() bool { return strings.HasPrefix(ns.Type, "!") }

// checkReferences finds those references that package gons would pass over in
// silence, so that the action would run where nobody wants it.
func checkReferences(namespaces []Namespace) error {
	for _, ns := range namespaces {
		if ns.Path == "" || ns.kind() == "" || strings.ContainsAny(ns.kind(), ",=") {
			return fmt.Errorf("namespace of type %q and path %q: both need to be given", ns.Type, ns.Path)
		}
	}
	return nil
}

// NamespacesOf refers to the namespaces of a process for [Namespaces], so that
// an action runs where "nsenter --all --target PID" would run a program, but for
// time namespaces, which package gons does not know.
//
// Without types these are all that package gons knows: user, mnt, cgroup, ipc,
// net, pid, uts, in this order. With types ("net", without bang) just these, in
// their order. Namespaces that the calling thread is in already are left out,
// since the kernel refuses to join the own user namespace again. All references
// bear a bang.
//
// The order matters for a process that has a user namespace of its own, but also
// namespaces that do not belong to it: who has joined its user namespace may not
// join these any more. While nsenter tries them before and after, here a privileged
// caller names their types first, as in NamespacesOf(pid, "net", "user").
//
// The references are paths below /proc, so that the process must last until the
// run begins; [NamespaceFile] helps where it might be gone by then. An unknown
// type, a process that does not exist, and missing permission (see ptrace(2))
// are errors that tell which namespace could not be found.
func NamespacesOf(pid int, types ...string) ([]Namespace, error) {
	return namespacesOf(pid, types)
}

// NamespaceFile refers to a namespace by an open file, such as
// /proc/42/ns/net or a bind mount of it, and learns its type from the kernel. So
// it stays the same namespace, whatever becomes of the process 42.
//
// The reference bears a bang, which it must keep, since the file is out of reach
// once another namespace has been joined. The file must stay open until the run
// is over. A file that is closed, or is no namespace, is an error.
func NamespaceFile(f *os.File) (Namespace, error) {
	ns, err := namespaceFile(f)
	if err != nil {
		return Namespace{}, fmt.Errorf("gons/reexec: NamespaceFile: %w", err)
	}
	return ns, nil
}
