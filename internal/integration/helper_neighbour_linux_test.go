package integration

import (
	"strings"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

// A neighbour is a process in namespaces of its own, to be visited by specs.
type neighbour struct{ *specs.Neighbour }

func newNeighbour(kinds ...string) *neighbour {
	GinkgoHelper()
	return &neighbour{specs.NewNeighbour(kinds...)}
}

// neighbourOf is the neighbour of this PID, which somebody else ends.
func neighbourOf(pid int) *neighbour { return &neighbour{&specs.Neighbour{PID: pid}} }

// namespace refers to the neighbour's namespace of a type, with or without bang.
func (n *neighbour) namespace(typ string) reexec.Namespace {
	return reexec.Namespace{
		Type: typ,
		Path: n.Path(strings.TrimPrefix(typ, "!")),
	}
}

// namespaces refers to several of them.
func (n *neighbour) namespaces(types ...string) (namespaces []reexec.Namespace) {
	for _, typ := range types {
		namespaces = append(namespaces, n.namespace(typ))
	}
	return namespaces
}
