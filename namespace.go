package reexec

import (
	"fmt"
	"os"

	"example.com/gons/reexec/internal/birth"
)

// A Namespace refers to a namespace that a child is to join, by its type and a path. [NamespacesOf]
// and [NamespaceFile] make such references.
//
// With a bang before the type the path is opened before the first namespace is joined. Without one
// it is opened when its turn comes, so that after a mount namespace it is looked up in that one. A
// relative path is looked up from the child's working directory. A time namespace is joined after
// all others, or, if it has a bang and comes before a user namespace, ahead of them if the rights
// suffice.
type Namespace struct {
	Type string // "cgroup", "ipc", "mnt", "net", "pid", "time", "user" or "uts", or one of them after a bang: "!net"
	Path string // such as "/proc/42/ns/net"
}

// NamespacesOf returns references to the namespaces of a process, for [Namespaces]. Use it to look
// at the list, or to change it; [Target] does the same in one step, and cannot be led astray when
// the process ends.
//
// Without types it returns all: user, mnt, cgroup, ipc, net, pid, uts, time, in this order, but
// first those that do not belong to the user namespace of the process. With types ("net", without
// bang) it returns just these, in their order. The order matters: a process that has joined a user
// namespace can no longer join namespaces that do not belong to it.
//
// It leaves out the namespaces that children of the calling thread are in anyway, since the kernel
// refuses to join one's own user namespace again. Where it cannot find that out, it leaves out
// nothing. All references bear a bang: they are opened before the first namespace is joined.
//
// The references are paths below /proc, so the process must last until the run begins. An unknown
// type, a process that does not exist, and a missing permission (see ptrace(2)) are errors that
// tell which namespace could not be found.
func NamespacesOf(pid int, types ...string) ([]Namespace, error) {
	process := birth.Hold(pid, types)
	defer process.Close()
	opened, err := process.Open(0)
	defer birth.Close(opened)
	if err != nil {
		return nil, fmt.Errorf("gons/reexec: NamespacesOf: %w", public(err))
	}
	var namespaces []Namespace
	for _, ns := range opened {
		if ns.Type != ns.Kind() { // without a bang it is the root directory, which is for Target only
			namespaces = append(namespaces, Namespace{Type: ns.Type, Path: ns.Path})
		}
	}
	return namespaces, nil
}

// NamespaceFile refers to a namespace by an open file, such as /proc/42/ns/net or a bind mount
// below /run/netns, and learns its type from the kernel. It stays the same namespace, whatever
// becomes of process 42.
//
// The caller may close the file: Path, and copies of it, keep a duplicate open; a path that is put
// together anew does not. The reference bears a bang, which it must keep, since the file is out of
// reach once another namespace has been joined. A file that is closed, or is not a namespace, is an
// error.
func NamespaceFile(f *os.File) (Namespace, error) {
	ref, err := birth.File(f)
	if err != nil {
		return Namespace{}, fmt.Errorf("gons/reexec: NamespaceFile: %w", err)
	}
	return Namespace{Type: ref.Type, Path: ref.Path}, nil
}
