package birth

import "slices"

// Joins are the namespaces that a child is to join: those of the targets, and then those
// given by reference.
type Joins struct {
	Targets []Target
	Refs    []Ref
}

// A Target is a process whose namespaces are to be joined.
type Target struct {
	Process *Process
	Err     error // why there is no such process
}

// Open returns all references, checked. Those of the targets are held until release
// is called, which must be done, also after an error.
func (j Joins) Open() (refs []Ref, release func(), err error) {
	var held []Ref
	release = func() { Close(held) }
	if len(j.Targets)+len(j.Refs) == 0 {
		return nil, release, nil
	}
	if err := CannotJoin(); err != nil {
		return nil, release, err
	}
	for _, target := range j.Targets {
		if target.Err != nil {
			return nil, release, target.Err
		}
		namespaces, err := target.Process.Open()
		held = append(held, namespaces...)
		if err != nil {
			return nil, release, err
		}
	}
	refs = append(slices.Clone(held), j.Refs...)
	return refs, release, Check(refs)
}
