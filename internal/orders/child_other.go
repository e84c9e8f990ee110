//go:build !linux

package orders

// takeName does nothing: the child is started under its program's name.
func takeName() {}

// watchParent does nothing, since only Linux tells a child of its parent's end.
func watchParent(int, int) {}
