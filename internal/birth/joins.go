package birth

import (
	"fmt"
	"slices"
)

// The kinds of references that are joined out of turn: see withOwner and Process.root.
const ownerKind, rootKind = "owner", "root"

// Joins are the namespaces that a child is to join: those of the targets, and then those
// given by reference.
type Joins struct {
	Targets             []*Process
	Refs                []Ref
	PreserveCredentials bool // the child does not become root of a user namespace
}

// Open returns all references, and opens what must not change before they are joined. The child gets fresh namespaces, as the
// flags of clone(2) say. The caller closes what is returned, also with an error.
//
// Open finds the mistakes that need no child to be seen. Package gons would pass over some of them in silence, so that the child
// ran in other namespaces than it should.
func (j Joins) Open(fresh uintptr) (refs []Ref, err error) {
	if len(j.Targets)+len(j.Refs) == 0 {
		return nil, nil
	}
	if err := CannotJoin(); err != nil {
		return nil, err
	}
	if err := check(kindsOf(j.Refs)); err != nil {
		return nil, err
	}
	types := kindsOf(j.Refs)
	for _, target := range j.Targets {
		namespaces, err := target.Open(fresh)
		refs = append(refs, namespaces...)
		if err != nil {
			return refs, err
		}
		own := kindsOf(namespaces)
		if i := slices.Index(own, rootKind); i >= 0 && !slices.Contains(own, "mnt") {
			own[i] = "mnt" // a root directory stands for its mount namespace
		}
		if len(target.types) > 0 {
			own = target.types // even those that are left out
		}
		types = append(types, own...)
	}
	refs = withOwner(refs, fresh)
	for _, ref := range j.Refs {
		if ref.Path == "" {
			return refs, fmt.Errorf("namespace of type %q and path %q: both need to be given", ref.Type, ref.Path)
		}
		if ref.Type != ref.Kind() { // with a bang; others are looked up in the child's namespaces
			ref.File = reopen(ref.Path)
		}
		refs = append(refs, ref)
	}
	return refs, checkOnce(types)
}
