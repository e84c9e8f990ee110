package reexec

import (
	"os"

	"example.com/gons/reexec/internal/orders"
)

// order is what the parent has told this process to do. It is zero in a process
// that is no child.
var order struct {
	action  string
	answers *os.File // where a function answers; nil for other actions
	ready   bool     // the parent waits until the function is ready
}

// A child takes its orders before any package that uses this one is
// initialised.
func init() {
	o := orders.Take()
	if o.Action == "" {
		return
	}
	order.action, order.ready = o.Action, o.Ready
	takeName()
	watchParent(o.Death, o.Parent)
	if o.Answers != 0 {
		closeOnExec(o.Answers)
		order.answers = os.NewFile(uintptr(o.Answers), "answers")
	}
}
