package birth

import "slices"

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

// Check finds the mistakes that can be seen before a child is thought of.
func (j Joins) Check() error {
	if len(j.Targets)+len(j.Refs) == 0 {
		return nil
	}
	if err := CannotJoin(); err != nil {
		return err
	}
	if err := Check(j.Refs); err != nil {
		return err
	}
	var named []string // even those that will be left out
	for _, target := range j.Targets {
		if target.Err != nil {
			return target.Err
		}
		named = append(named, target.Process.types...)
	}
	return CheckOnce(append(named, kindsOf(j.Refs)...))
}

// Open returns all references, which have been checked. What they refer to is held until release is called, which must
// be done, also after an error. The child gets fresh namespaces, as the flags of clone(2) say.
func (j Joins) Open(fresh uintptr) (refs []Ref, release func(), err error) {
	var held []Ref
	release = func() { Close(held) }
	for _, target := range j.Targets {
		namespaces, err := target.Process.Open(fresh)
		held = append(held, namespaces...)
		if err != nil {
			return nil, release, err
		}
	}
	held = withOwner(held, fresh)
	refs = slices.Clone(held)
	for _, ref := range j.Refs {
		if ref.Type != ref.Kind() { // with a bang; others are looked up in the child's namespaces
			ref.File = reopen(ref.Path)
		}
		if ref.File != nil {
			held = append(held, ref)
		}
		refs = append(refs, ref)
	}
	return refs, release, CheckOnce(kindsOf(refs)) // again, as targets without types may have brought more
}
