package birth

import "os"

// ChildVar is set in each child of this package, and in no other process. Like all orders it starts with gons_.
const ChildVar = "gons_reexec_child"

// Order returns what the parent of this process has told it under a name. It is empty if the parent has told nothing, or if this
// process is no child.
//
// The constructor has copied the orders and blanked them (constructor.c). Where it did not run they are
// still in the environment, and package child removes them.
func Order(name string) string {
	value, taken := takenOrder(name)
	if !taken && os.Getenv(ChildVar) != "" {
		return os.Getenv(name)
	}
	return value
}
