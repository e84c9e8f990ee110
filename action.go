package reexec

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"sync"
	"time"
)

// A ReexecAction says which action a child is to run, where, with what, and
// what becomes of its answer. Usually [NewReexecAction] and the options make
// one. It is not changed by running it, and may be run as often as one likes,
// also concurrently if it has no Result.
type ReexecAction struct {
	ActionName  string      // name of a registered action
	Namespaces  []Namespace // to be joined in this order; see [Namespaces]
	Param       interface{} // sent to the action, unless nil; see [Param]
	Result      interface{} // pointer to where the action's answer goes; see [Result]
	Environment []string    // in addition to the parent's; see [Environment]

	targets []target        // whose namespaces are joined before those of Namespaces
	grace   *time.Duration  // how long a child may linger, nil: defaultGrace
	stderr  io.Writer       // where the child's stderr goes, nil: is a failure
	tune    func(*exec.Cmd) // last word on the child, may be nil
	isFunc  bool            // the answers come on a pipe of their own; see Func
}

// NewReexecAction returns the named action with these options. It panics if an
// option is nil.
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

// RunReexecAction runs the named action in a child, with these options, as
// [ReexecAction.Run] does.
func RunReexecAction(actionname string, options ...ReexecActionOption) error {
	return NewReexecAction(actionname, options...).Run()
}

// RunReexecActionContext runs the named action in a child, with these options,
// as [ReexecAction.RunContext] does.
func RunReexecActionContext(ctx context.Context, actionname string, options ...ReexecActionOption) error {
	return NewReexecAction(actionname, options...).RunContext(ctx)
}

// Run is [ReexecAction.RunContext] with the background context: nothing limits
// the time that the action takes.
func (a *ReexecAction) Run() (err error) {
	return a.RunContext(context.Background())
}

// RunContext starts a child, which joins the namespaces and runs the action,
// and blocks until the child has ended and is reaped.
//
// The child inherits all that a child usually inherits, also the namespaces of
// the calling thread if the caller has locked itself to one
// ([runtime.LockOSThread]).
//
// A child that lingers after its answer has arrived is killed after a grace
// period, see [GracePeriod]; that is no error. When ctx is done the child is
// killed, and the error wraps [context.Cause](ctx). If it is done already, no
// child is started. Where descendants of the child keep its pipes open,
// RunContext waits for them no longer than the grace period after the child's
// end, and not at all once ctx is done.
//
// Every error is an [*ActionError]. Without [Stderr] an action that writes
// anything to its stderr has failed. If an action fails, its Result may have
// been written to all the same.
//
// RunContext panics if ctx is nil, if the action is not registered, if
// [CheckAction] has not been called yet, and in a child: a child cannot start
// children of its own in this way. It is safe for concurrent use.
func (a *ReexecAction) RunContext(ctx context.Context) error {
	if ctx == nil {
		panic("nil Context")
	}
	mustBeAbleToRun(a.ActionName)
	if err := a.notStarted(ctx); err != nil {
		return err
	}
	var input []byte
	if a.Param != nil {
		var param bytes.Buffer
		if err := json.NewEncoder(&param).Encode(a.Param); err != nil {
			return a.failure("cannot send parameter to child, reason: "+err.Error(), "", err)
		}
		input = param.Bytes()
	}
	p, err := a.start(ctx, input, false)
	if err != nil {
		return err
	}
	defer p.close()
	stop := onDone(ctx, func() { p.abort(context.Cause(ctx)) })
	defer stop() // also if decoding panics

	sent := p.send()
	answer, decodeErr := p.decode(a.Result)
	p.await()
	stop()
	return a.verdict(p, <-sent, decodeErr, answer)
}

// onDone calls f in a goroutine of its own once ctx is done. After stop, which
// must be called, f neither runs nor will run; stop tells whether it ran, also when
// it is called again.
func onDone(ctx context.Context, f func()) (stop func() (ran bool)) {
	if ctx.Done() == nil { // as for the background context
		return func() bool { return false }
	}
	done := make(chan struct{})
	stopped := context.AfterFunc(ctx, func() {
		defer close(done)
		f()
	})
	return sync.OnceValue(func() bool {
		if stopped() {
			return false
		}
		<-done
		return true
	})
}
