package reexec

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"syscall"

	"example.com/gons/reexec/internal/conversation"
	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/process"
	"example.com/gons/reexec/internal/serve"
)

// A Func is a function that runs in a child, in other namespaces, and is called
// like any other: [RegisterFunc] makes one. Parameters and results travel as
// JSON, so only what JSON carries arrives, and open files.
//
// An [*os.File] in a parameter or a result arrives as an open file: itself, or in exported
// fields, slices, arrays, maps and pointers. Both sides then share one open file: its
// offset and its flags, O_NONBLOCK among them. Who sends a parameter keeps its files; those
// of a result are closed in the child, and belong to the caller. What is in an interface, or in
// types that encode themselves, does not travel as a file. On Windows no file travels.
//
// The function may print what it likes: stdout of the child is that of the parent,
// and its stderr is copied to the parent's, or to where [Stderr] sends it. Neither
// tells anything about success. Its stdin is empty. A Func is safe for concurrent
// use.
type Func[P, R any] struct {
	shape
}

// A shape is what is known of a registered function or stream beside its types.
type shape struct {
	name    string
	context bool // it obeys to its context
	files   bool // its parameter may hold open files
	opens   bool // its answers may
}

// RegisterFunc makes a function callable in children, under a name that it
// shares with those of [Register]. A package-level variable is the place for it:
//
//	var hostname = reexec.RegisterFunc("hostname",
//		func(struct{}) (string, error) { return os.Hostname() })
//
// It panics as [Register] does, and for types that can never travel, such as channels. When
// the context of a call ends, the function is killed together with its child; see
// [RegisterFuncContext] for one that is asked to return.
func RegisterFunc[P, R any](name string, fn func(P) (R, error)) Func[P, R] {
	if fn == nil {
		Register(name, nil) // panics
	}
	s := newShape[P, R](name, false)
	s.register(func(_ context.Context, decode func(any) error, _ func(any) bool) (any, error) {
		var param P
		if err := decode(&param); err != nil {
			return nil, err
		}
		return fn(param)
	})
	return Func[P, R]{s}
}

// RegisterFuncContext is [RegisterFunc] for a function that obeys to its context: the
// deadline of the caller's context is known there, and its end, with Err and cause, arrives there. Then
// the function has the grace period (see [GracePeriod]) to return.
func RegisterFuncContext[P, R any](name string, fn func(ctx context.Context, param P) (R, error)) Func[P, R] {
	if fn == nil {
		Register(name, nil) // panics
	}
	s := newShape[P, R](name, true)
	s.register(func(ctx context.Context, decode func(any) error, _ func(any) bool) (any, error) {
		var param P
		if err := decode(&param); err != nil {
			return nil, err
		}
		return fn(ctx, param)
	})
	return Func[P, R]{s}
}

// newShape panics if values of the types can never travel.
func newShape[P, A any](name string, context bool) shape {
	s := shape{name: name, context: context}
	s.files, s.opens = mustTravel[P](name, "parameter"), mustTravel[A](name, "answer")
	return s
}

// mustTravel tells whether values of a type may hold open files.
func mustTravel[T any](name, what string) (files bool) {
	files, err := frame.CheckType(reflect.TypeFor[T]())
	if err != nil {
		panic(fmt.Sprintf("gons/reexec: function %q: %s cannot travel: %v", name, what, err))
	}
	return files
}

// register registers the action of a function.
func (s shape) register(call func(ctx context.Context, decode func(any) error, emit func(any) bool) (any, error)) {
	Register(s.name, func() {
		serve.Serve(order, serve.Function{Name: s.name, Context: s.context, Files: s.opens, Call: call})
	})
}

// Call runs the function in a child of its own and blocks until that child has
// ended, as [ReexecAction.RunContext] does.
//
// With an error the result is the zero value. An error that the function returns
// arrives as a [*FuncError]. A panic arrives as a [*PanicError], and so does
// [runtime.Goexit]. Everything else that goes wrong is an [*ActionError], also the
// end of the child before it has answered.
//
// When ctx is done, the error wraps [context.Cause](ctx). The child is killed; only a function of
// [RegisterFuncContext] first has the grace period to return, and if it returns an error, that is
// wrapped, too.
//
// Call panics where RunContext does, if f is the zero Func, and if there is a
// [Param], a [Result] or a [Concurrency] among the options.
func (f Func[P, R]) Call(ctx context.Context, param P, options ...ReexecActionOption) (result R, err error) {
	alone, err := f.alone(ctx, param, options)
	if err != nil {
		return result, err
	}
	defer alone.talk.Kill(alone.call, errDecoder) // should decoding panic
	answer, err := alone.talk.Next(alone.call)
	run := alone.facts
	if err == nil {
		run.hear(answer, &result)
	}
	if err := run.ended(alone.talk.Finish()); err != nil {
		f.discard(result)
		return *new(R), err
	}
	return result, nil
}

// errDecoder is why a child is killed whose result made the parent's decoder panic.
var errDecoder = errors.New("decoder of the result panicked")

// A single is a child that serves a single call.
type single struct {
	talk  *conversation.Conversation
	call  *conversation.Call
	facts facts
}

// alone starts a child for a single call.
func (s shape) alone(ctx context.Context, param any, options []ReexecActionOption) (*single, error) {
	a := s.action(ctx, options)
	a.mustMakeSense()
	run := facts{name: s.name, function: true}
	if ctx.Err() != nil {
		return nil, run.notStarted(context.Cause(ctx))
	}
	spec := conversation.Spec{Spec: a.spec(), Context: s.context, Files: s.files, Opens: s.opens}
	encoded, err := spec.NewParam(ctx, param)
	if err != nil {
		return nil, run.unsent(err)
	}
	talk, call, err := conversation.Alone(ctx, spec, encoded)
	if err != nil {
		return nil, run.unstarted(err)
	}
	return &single{talk, call, run}, nil
}

// action returns the action that serves a function, whose options must make sense.
func (s shape) action(ctx context.Context, options []ReexecActionOption) *ReexecAction {
	if s.name == "" {
		panic("gons/reexec: Func: zero Func or Stream, use RegisterFunc or RegisterStream")
	}
	if ctx == nil {
		panic("nil Context")
	}
	a := NewReexecAction(s.name, options...)
	if a.Param != nil || a.Result != nil {
		panic(fmt.Sprintf("gons/reexec: Func: function %q takes neither the option Param nor the option Result", s.name))
	}
	mustBeAbleToRun(s.name)
	if a.stderr == nil {
		a.stderr = process.Parent{}
	}
	return a
}

// discard closes the files of a result that nobody receives.
func (s shape) discard(result any) {
	if s.opens {
		for _, f := range frame.FilesOf(result) {
			_ = f.Close()
		}
	}
}

// unstarted is the error of a child that was not started, or has ended without being where it should be.
func (f facts) unstarted(err error) error {
	var end *conversation.End
	var unsent *conversation.UnsentError
	switch {
	case errors.As(err, &end):
		return f.ended(end)
	case errors.As(err, &unsent):
		return f.unsent(unsent.Err)
	}
	return f.cannotStart(err)
}

// ended is the error of a child that has ended.
func (f facts) ended(end *conversation.End) error {
	f.Outcome, f.unborn, f.fault, f.cancelled = end.Outcome, end.Unborn, end.Fault, end.Cancelled
	if f.answered {
		f.fault = nil
	}
	if w := end.Word; w != nil && w.Kind == frame.Refusal {
		f.refusal = text(*w)
	}
	return f.explain()
}

// hear notes what a child has answered to a call.
func (f *facts) hear(answer frame.Frame, result any) {
	defer answer.CloseFiles()
	f.answered = true
	switch answer.Kind {
	case frame.Result:
		f.decode = answer.Unmarshal(result)
	case frame.Failed:
		f.reply = newFuncError(f.name, answer)
	case frame.Panicked:
		f.reply = newPanicError(f.name, answer)
	default:
		failure := failureOf(answer)
		f.reply = f.failure(failure.Message, append([]error{errors.New(failure.Message)}, failure.Causes()...)...)
	}
}

// failureOf returns what has travelled of an error.
func failureOf(answer frame.Frame) (failure frame.Failure) {
	if err := answer.Unmarshal(&failure); err != nil {
		failure.Message = "an error that cannot be understood: " + err.Error()
	}
	return failure
}

// text is what a frame says.
func text(f frame.Frame) (text string) {
	if err := f.Unmarshal(&text); err != nil {
		return "what the child says cannot be understood: " + err.Error()
	}
	return text
}

// A FuncError is an error that a function has returned in a child.
type FuncError struct {
	Func    string        // name of the function
	Message string        // text of the error it returned
	Errno   syscall.Errno // the first one in the chain of that error, or 0

	causes []error // what has travelled of that chain
}

func newFuncError(name string, answer frame.Frame) error {
	failure := failureOf(answer)
	return &FuncError{Func: name, Message: failure.Message, Errno: syscall.Errno(failure.Errno), causes: failure.Causes()}
}

// Error returns the text of the error that the function returned, as one line.
func (e *FuncError) Error() string { return oneLine(e.Message) }

// Unwrap returns the system call's error, so that [errors.Is] finds for instance
// [fs.ErrNotExist] on both sides, and [context.Canceled], [context.DeadlineExceeded] and [os.ErrClosed], if they were in
// the chain.
func (e *FuncError) Unwrap() error {
	switch {
	case len(e.causes) == 1:
		return e.causes[0]
	case len(e.causes) > 1:
		return causeList(e.causes)
	case e.Errno != 0: // made by a client
		return e.Errno
	}
	return nil
}

// A PanicError is a panic of a function in a child.
type PanicError struct {
	Func  string // name of the function
	Value string // the panic value, printed
	Stack []byte // the child's stack
}

func newPanicError(name string, answer frame.Frame) error {
	var panicked frame.Panic
	if err := answer.Unmarshal(&panicked); err != nil {
		panicked.Value = "a panic that cannot be understood: " + err.Error()
	}
	return &PanicError{Func: name, Value: panicked.Value, Stack: panicked.Stack}
}

// Error returns the panic value; the stack is left to those who want it.
func (e *PanicError) Error() string {
	return fmt.Sprintf("gons/reexec: function %q panicked: %s", e.Func, oneLine(e.Value))
}
