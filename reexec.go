package reexec

import (
	"fmt"
	"os"
	"sync/atomic"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/call"
	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/testsupport"
)

// enabled tells that this process is a parent that has called CheckAction (or
// RunAction) and so may start children. Without that call a child would run the
// whole program again instead of an action, its own children included.
var enabled atomic.Bool

// order is what the parent has told this process to do. It is zero in a process
// that is no child.
var order child.Orders

// A child takes its orders before any package that uses this one is initialised.
//
// Package testing cannot import this package, since then the tests inside this
// package could not import package testing.
func init() {
	order = child.TakeOrders()
	testsupport.CheckAction = CheckAction
}

// CheckAction is where a child runs its function or action. Call it first thing in main,
// or in an init function, as long as all functions and actions have been registered by then.
//
//	func main() {
//		reexec.CheckAction()
//		…
//	}
//
// In a child it never returns: the child ends with exit status 0. If the child could not
// join its namespaces, or does not know its action, it says so on stderr and ends with exit
// status 1. In any other process CheckAction returns at once, and children can be started
// from then on.
//
// A child is a process that this package has started, or one that was started by hand with
// gons_reexec_action=NAME in its environment. Package github.com/thediveo/gons/reexec
// starts its children in this way, too; a program in which both are used calls that one's
// CheckAction first.
func CheckAction() {
	action, err := pending()
	if err != nil {
		fmt.Fprint(os.Stderr, err)
		testsupport.Exit(1)
	}
	if action == nil {
		return
	}
	birth.Run(func() {
		defer testsupport.ExitOnPanic()
		action()
	})
	testsupport.Exit(0)
}

// RunAction does the same as [CheckAction] and leaves it to the caller how a
// child ends: in a child it runs the action and then returns true. In any other
// process it enables the start of children and returns false.
//
// RunAction panics if the child could not join its namespaces, with the error
// that [gons.Status] reports, and if the child does not know its action.
func RunAction() (action bool) {
	run, err := pending()
	switch {
	case err != nil && birth.Status() != nil:
		panic(err)
	case err != nil:
		panic(err.Error())
	case run == nil:
		return false
	}
	birth.Run(run)
	return true
}

// pending returns the action that this process is to run, if it is a child. If
// it is not, pending enables the start of children. A function's child that cannot
// run it tells its parent on the pipe for answers, and ends here.
func pending() (Action, error) {
	action, err := findAction()
	if err != nil {
		call.Refuse(order, err.Error()+" (functions are registered before CheckAction: in package-level variables, or in init functions)")
	}
	return action, err
}

func findAction() (Action, error) {
	if err := birth.Status(); err != nil {
		return nil, err
	}
	name := order.Action
	if name == "" {
		name = child.ActionByHand()
	}
	if name == "" {
		enabled.Store(true)
		return nil, nil
	}
	if err := birth.CannotStart(); err != nil {
		return nil, err
	}
	action := registered(name)
	if action == nil {
		return nil, fmt.Errorf("unregistered gons/reexec re-execution action %q", name)
	}
	if order.Action == "" {
		child.RemoveOrders()
		order.Action = name
	}
	if err := testsupport.Return(); err != nil {
		return nil, err
	}
	return action, nil
}

// isChild tells whether this process is to run an action, also if it was started by hand and has not been told so yet.
func isChild() bool { return order.Action != "" || !enabled.Load() && child.ActionByHand() != "" }
