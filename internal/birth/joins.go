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
	Targets             []Target
	Refs                []Ref
	PreserveCredentials bool // the child does not become root of a user namespace
}

// A Target is a process whose namespaces are to be joined.
type Target struct {
	Process *Process
	Err     error // why there is no such process
}

// Check finds the mistakes that need no child to be seen. Package gons would pass over some of them in silence, so that the child
// ran in other namespaces than it should.
func (j Joins) Check() error {
	if len(j.Targets)+len(j.Refs) == 0 {
		return nil
	}
	if err := CannotJoin(); err != nil {
		return err
	}
	var types []string
	for _, target := range j.Targets {
		if target.Err != nil {
			return target.Err
		}
		types = append(types, target.Process.types...) // even those that will be left out
	}
	for _, ref := range j.Refs {
		if err := checkKind(ref.Kind()); err != nil {
			return err
		}
		if ref.Path == "" {
			return fmt.Errorf("namespace of type %q and path %q: both need to be given", ref.Type, ref.Path)
		}
	}
	return checkOnce(append(types, kindsOf(j.Refs)...))
}

// Open returns all references, which have been checked, and opens what must not change before they are joined. The child gets
// fresh namespaces, as the flags of clone(2) say. The caller closes what is returned, also with an error.
func (j Joins) Open(fresh uintptr) (refs []Ref, err error) {
	var types []string
	for _, target := range j.Targets {
		namespaces, err := target.Process.Open(fresh)
		refs = append(refs, namespaces...)
		if err != nil {
			return refs, err
		}
		own := kindsOf(namespaces)
		for _, kind := range own {
			if kind != rootKind {
				types = append(types, kind)
			} else if !slices.Contains(own, "mnt") { // a root directory stands for its mount namespace
				types = append(types, "mnt")
			}
		}
	}
	refs = withOwner(refs, fresh)
	for _, ref := range j.Refs {
		if ref.Type != ref.Kind() { // with a bang; others are looked up in the child's namespaces
			ref.File = reopen(ref.Path)
		}
		refs = append(refs, ref)
	}
	return refs, checkOnce(append(types, kindsOf(j.Refs)...)) // again, as targets without types may have brought more
}
