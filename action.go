package reexec

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/child"
)

// A ReexecAction says which [Action] a child is to run, where, with what, and where its answer
// goes. [RunReexecAction] makes and runs one in one step. Running it does not change it, so it may
// be run any number of times, also concurrently if it has no Result.
type ReexecAction struct {
	ActionName  string      // name of a registered action
	Namespaces  []Namespace // to be joined in this order; see [Namespaces]
	Param       interface{} // sent to the action, unless nil; see [Param]
	Result      interface{} // pointer to where the action's answer goes; see [Result]
	Environment []string    // in addition to the parent's; see [Environment]

	options child.Spec     // what other options say
	grace   *time.Duration // nil: defaultGrace
}

// NewReexecAction returns the named action with these options. It panics if an option is nil.
func NewReexecAction(actionname string, options ...ReexecActionOption) *ReexecAction {
	a := &ReexecAction{ActionName: actionname}
	for _, option := range options {
		if option == nil {
			panic("gons/reexec: NewReexecAction: nil option")
		}
		option(a)
	}
	return a
}

// RunReexecAction runs the named action in a child, as [ReexecAction.Run] does:
//
//	var hostname string
//	err := reexec.RunReexecAction("hostname", reexec.Target(pid, "uts"), reexec.Result(&hostname))
func RunReexecAction(actionname string, options ...ReexecActionOption) error {
	return NewReexecAction(actionname, options...).Run()
}

// RunReexecActionContext runs the named action in a child, as [ReexecAction.RunContext] does.
func RunReexecActionContext(ctx context.Context, actionname string, options ...ReexecActionOption) error {
	return NewReexecAction(actionname, options...).RunContext(ctx)
}

// Run is [ReexecAction.RunContext] with the background context: the action may take any time.
func (a *ReexecAction) Run() (err error) {
	return a.RunContext(context.Background())
}

// RunContext starts a child, which joins the namespaces and runs the action, and blocks until the
// child has ended and is reaped.
//
// Every error is an [*ActionError]. Without the option [Stderr] an action that writes anything to
// its stderr has failed. If an action fails, its Result may have been written to all the same.
//
// When ctx is done the child is killed, and the error wraps [context.Cause](ctx). If it is done
// already, no child is started. A child that lingers after its answer has arrived is killed after a
// grace period, see [GracePeriod]; that is no error. If descendants of the child keep its pipes
// open, RunContext waits for them no longer than the grace period after the child's end, and not at
// all once ctx is done.
//
// The child inherits what children inherit, also the namespaces of the calling thread if the caller
// has locked itself to it ([runtime.LockOSThread]).
//
// RunContext panics if ctx is nil, if Result is anything but a pointer that is not nil, if there is
// a [Stdout] or a [Concurrency] among the options, if the action is not registered, if
// [CheckAction] has not been called yet, and in a child: a child cannot call functions or run
// actions of this package in turn. It is safe for concurrent use.
func (a *ReexecAction) RunContext(ctx context.Context) error {
	if ctx == nil {
		panic("nil Context")
	}
	a.mustBeAbleToRun()
	a.mustMakeSense()
	run := facts{name: a.ActionName}
	if ctx.Err() != nil {
		return run.notBegun(notStarted, context.Cause(ctx))
	}
	spec := a.spec()
	if a.Param != nil {
		var param bytes.Buffer
		if err := json.NewEncoder(&param).Encode(a.Param); err != nil {
			return run.notBegun(cannotSend, err)
		}
		spec.Input = param.Bytes()
	}
	p, outcome, err := child.Start(ctx, spec)
	switch {
	case outcome != nil:
		run.Outcome, run.Unborn = *outcome, err
		return run.explain()
	case err != nil:
		return run.notBegun(cannotStart, err)
	}
	defer p.Close() // which ends the child, should decoding panic
	p.OnEnd(ctx, func() { p.Leave(context.Cause(ctx)) })

	run.excerpt, run.decode = p.Decode(a.Result)
	run.answered = run.decode == nil
	run.Outcome = p.Wait()
	run.result = a.Result != nil
	run.spoke = run.Outcome.Stderr != "" && a.options.Stderr == nil
	return run.explain()
}

// mustBeAbleToRun panics if the run is a programming mistake.
func (a *ReexecAction) mustBeAbleToRun() {
	const run = "gons/reexec: ReexecAction.Run: "
	switch {
	case isChild():
		panic(run + "tried to re-execute in already re-executing child process")
	case !enabled.Load():
		panic(run + "application does not support forking and restarting, " +
			"needs to call reexec.CheckAction() first before running discovery")
	case registered(a.ActionName) == nil:
		panic(fmt.Sprintf(run+"attempting to re-execute into unregistered action %q", a.ActionName))
	}
}

// mustMakeSense panics if an option is a programming mistake.
func (a *ReexecAction) mustMakeSense() {
	a.mustNotBeConcurrent()
	if a.options.Stdout != nil {
		panic("gons/reexec: ReexecAction.Run: option Stdout is for functions only, stdout of an action is its answer")
	}
	if v := reflect.ValueOf(a.Result); a.Result != nil && (v.Kind() != reflect.Pointer || v.IsNil()) {
		panic(fmt.Sprintf("gons/reexec: ReexecAction.Run: option Result needs a pointer that is not nil, but got a %T", a.Result))
	}
}

// mustNotBeConcurrent panics if the option Concurrency is used for a single call.
func (a *ReexecAction) mustNotBeConcurrent() {
	if a.options.Concurrency != 0 {
		panic("gons/reexec: ReexecAction.Run: option Concurrency is for Func.Start only")
	}
}

// spec returns what the child is to be.
func (a *ReexecAction) spec() child.Spec {
	spec := a.options
	spec.Action, spec.Env, spec.Grace = a.ActionName, a.Environment, defaultGrace
	for _, ns := range a.Namespaces {
		spec.Joins.Refs = append(spec.Joins.Refs, birth.Ref{Type: ns.Type, Path: ns.Path})
	}
	if a.grace != nil {
		spec.Grace = *a.grace
	}
	return spec
}
