//go:build !linux

package reexec

// obeyAsIntermediate does nothing, since there are no namespaces to be joined.
func obeyAsIntermediate() {}

// sayHere does nothing, for the same reason.
func sayHere() {}

// takeName does nothing: the child is started under its program's name.
func takeName() {}

// watchParent does nothing, since only Linux tells a child of its parent's end.
func watchParent(string) {}
