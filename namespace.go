package reexec

import (
	"fmt"
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
