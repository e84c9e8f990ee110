package reexec

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"reflect"

	"example.com/gons/reexec/internal/call"
	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/value"
)

// A shape is what is known of a registered function or stream, apart from its types.
type shape struct {
	name    string
	context bool  // it obeys its context
	stream  bool  // it answers with events, too
	hash    int64 // of its types; parent and child compare it, as they might be different programs
}

// facts returns what is known before a run.
func (s shape) facts() facts { return facts{name: s.name, function: true} }

// register registers the action that serves a function with parameters of type P and answers of
// type A, which are results or events. What run returns, and gives to emit, is a pointer to an
// answer.
func register[P, A any](s shape, exists bool, run func(ctx context.Context, param P, emit func(any) bool) (any, error)) shape {
	if !exists {
		Register(s.name, nil) // panics
	}
	if order.Action == "" || order.Action == s.name { // a child skips the functions that it does not serve, to start faster
		hash, what := fnv.New64a(), "result"
		if s.stream {
			what = "event"
		}
		s.mustTravel("parameter", reflect.TypeFor[P](), hash)
		s.mustTravel(what, reflect.TypeFor[A](), hash)
		s.hash = int64(hash.Sum64())
	}
	Register(s.name, func() {
		call.Serve(order, call.Function{
			Name: s.name, Context: s.context, Hash: s.hash,
			Call: func(ctx context.Context, decode func(any) error, emit func(any) bool) (any, error) {
				var param P
				if err := decode(&param); err != nil {
					return nil, err
				}
				return run(ctx, param, emit)
			},
		})
	})
	return s
}

// mustTravel panics if values of a type can never travel. It writes to hash what tells the type from others.
func (s shape) mustTravel(what string, t reflect.Type, hash io.Writer) {
	if err := value.Check(t, hash); err != nil {
		panic(fmt.Sprintf("gons/reexec: function %q: %s cannot travel: %v", s.name, what, err))
	}
}

// run runs the function in a child of its own, passes each event to yield, and decodes the result
// into what result points to. An error of yield ends the child: errBreak, or why an event cannot be
// decoded.
func (s shape) run(ctx context.Context, param any, options []ReexecActionOption, result any, yield func(*call.Frame) error) error {
	a := s.action(ctx, options)
	a.mustNotBeConcurrent()
	run := s.facts()
	if ctx.Err() != nil {
		return run.notBegun(notStarted, context.Cause(ctx))
	}
	var stop error
	end, err := call.Run(ctx, s.spec(a), param, func(answer *call.Frame) (more bool) {
		if answer.Kind != call.Event {
			run.hear(answer, result)
			return true
		}
		stop = yield(answer)
		return stop == nil
	})
	switch {
	case err != nil:
		return run.unanswered(err)
	case stop == errBreak:
		return nil
	case stop != nil && end.Cancelled == nil:
		run.Stderr, run.decode, run.answered = end.Stderr, stop, true
		return run.explain()
	}
	return run.ended(end)
}

// spec returns what the child of the function is to be.
func (s shape) spec(a *ReexecAction) call.Spec {
	return call.Spec{Spec: a.spec(), Context: s.context, Stream: s.stream, Hash: s.hash}
}

// action returns the action that serves the function, with these options. It panics if the call is
// a programming mistake.
func (s shape) action(ctx context.Context, options []ReexecActionOption) *ReexecAction {
	switch {
	case s.name == "":
		panic("gons/reexec: Func: zero Func or Stream, use RegisterFunc or RegisterStream")
	case ctx == nil:
		panic("nil Context")
	}
	a := NewReexecAction(s.name, options...)
	switch {
	case a.Param != nil || a.Result != nil:
		panic(fmt.Sprintf("gons/reexec: Func: function %q takes neither the option Param nor the option Result", s.name))
	case isChild():
		panic(fmt.Sprintf("gons/reexec: Func: function %q cannot be called in a child: "+
			"tried to re-execute in already re-executing child process", s.name))
	case !enabled.Load():
		panic(fmt.Sprintf("gons/reexec: Func: function %q cannot be called before reexec.CheckAction(), "+
			"which has to come first in main: func main() { reexec.CheckAction(); … }, "+
			"and in tests is called by the test main of example.com/gons/reexec/testing", s.name))
	}
	if a.options.Stderr == nil {
		a.options.Stderr = child.ParentStderr{}
	}
	return a
}
