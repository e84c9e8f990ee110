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

// enabled tells that this process is a parent that has called CheckAction or RunAction, and so may
// start children. Without that call a child would run all of main instead of its action, and start
// children in turn.
var enabled atomic.Bool

// order is what the parent has told this process to do. It is zero in a process that is not a
// child.
var order child.Orders

// A child takes its orders before any package that uses this one is initialised.
//
// Package testing cannot import this package, since then the tests inside this package could not
// import package testing.
func init() {
	order = child.TakeOrders()
	testsupport.CheckAction = CheckAction
}

// CheckAction runs the function or action of a child. Call it first in main:
//
//	func main() {
//		reexec.CheckAction()
//		…
//	}
//
// In a child it never returns: the child runs its action and exits, with status 0. A child that
// could not join its namespaces, or does not know its action, says so and exits with status 1. In
// any other process CheckAction returns at once, and children can be started from then on.
//
// It may also be called in an init function, if all functions and actions have been registered by
// then.
//
// A child is a process that this package has started, or one that was started by hand with
// gons_reexec_action=NAME in its environment. Package github.com/thediveo/gons/reexec starts its
// children in this way, too; a program that uses both calls the CheckAction of that package first.
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

// RunAction is [CheckAction] for a main function that decides itself how a child ends: in a child
// it runs the action and returns true. In any other process it returns false, and children can be
// started from then on.
//
// The first process of a PID namespace (see [Unshare]) runs its action in another goroutine than
// RunAction's, so main cannot recover from its panic.
//
// RunAction panics if the child could not join its namespaces, with the error of
// github.com/thediveo/gons.Status, and if the child does not know its action.
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

// pending returns the action that this process is to run, or nil if it is not a child; then it
// enables the start of children. The child of a function that cannot run that tells its parent on
// the pipe for answers, and ends here.
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
		if !enabled.Load() { // a parent, whose test runs an action, stays one
			order.Action = name
		}
	}
	if err := testsupport.Return(); err != nil {
		return nil, err
	}
	return action, nil
}

// isChild tells whether this process is to run an action. One that was started by hand may not have
// called CheckAction yet.
func isChild() bool { return order.Action != "" || !enabled.Load() && child.ActionByHand() != "" }
