package reexec

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"example.com/gons/reexec/internal/call"
	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/value"
)

// A Func is a function that runs in a child, in other namespaces, and is called like any
// other: [RegisterFunc] makes one. A Func is safe for concurrent use.
//
// Parameters and results arrive as they were sent. Of structs the exported fields travel, those of embedded structs
// too, but none tagged json:"-"; types with MarshalJSON, MarshalText or MarshalBinary, and its
// counterpart, travel by these. In an interface there may be nil, booleans, numbers, strings, []byte,
// [time.Time], and slices and maps with string keys of these. Anything else, and what contains itself, is an error
// of the call, and types that can never travel, such as channels, panic at registration. docs/values.md tells
// more.
//
// Open files travel, too. An [*os.File] arrives as an open file, be it the value itself or
// in its exported fields, slices, arrays, maps and pointers. So a function can open
// something inside, and its caller uses it outside:
//
//	var listen = reexec.RegisterFunc("listen", func(address string) (*os.File, error) {
//		l, err := net.Listen("tcp", address)
//		if err != nil {
//			return nil, err
//		}
//		defer l.Close()
//		return l.(*net.TCPListener).File()
//	})
//
// The caller owns the file that it gets. [net.FileListener], [net.FileConn] and
// [net.FilePacketConn] make duplicates of it, so it is closed after that. A function need
// not close the files of its result: they are closed in the child once they are sent, but for
// stdin, stdout and stderr. The files of a parameter stay open in the parent; the function owns those that it gets.
//
// The child of a Call ends once it has answered, and all its goroutines with it. A pipe to which one of them still writes ends there,
// too; docs/values.md tells what to do instead.
//
// Both sides of a file share its offset and its flags, O_NONBLOCK among them, as after
// dup(2). A file in an interface is an error, and one in a type that encodes itself stays behind. On Windows no
// file travels, which is an error that wraps [errors.ErrUnsupported].
//
// A function may print. Its stdout is that of the parent, and its stderr is copied to the
// parent's, or to where [Stderr] sends it; neither tells anything about success. Its stdin
// is empty.
type Func[P, R any] struct {
	shape
}

// A shape is what is known of a registered function or stream beside its types.
type shape struct {
	name    string
	context bool  // it obeys its context
	stream  bool  // it answers with events, too
	hash    int64 // of its types, which parent and child have in common if they are the same program
}

// facts are what is known of each run of the function.
func (s shape) facts() facts { return facts{name: s.name, function: true} }

// RegisterFunc makes a function callable in children, under a name that is unique in the
// program. A package-level variable is the place for it:
//
//	var hostname = reexec.RegisterFunc("hostname",
//		func(struct{}) (string, error) { return os.Hostname() })
//
// It panics if the name is empty or already taken, by [Register], too, if fn is nil, and
// if values of its types can never travel, such as channels. A function that is registered
// after [CheckAction] is unknown to its child, and each call of it an error.
//
// When the context of a call ends, fn is killed together with its child; see
// [RegisterFuncContext] for one that is asked to return.
func RegisterFunc[P, R any](name string, fn func(P) (R, error)) Func[P, R] {
	s := shape{name: name}
	return Func[P, R]{register[P, R](s, fn != nil, func(_ context.Context, param P, _ func(any) bool) (any, error) {
		result, err := fn(param)
		return &result, err
	})}
}

// RegisterFuncContext is [RegisterFunc] for a function that obeys its context. The
// context has the deadline of the caller's, and ends then by itself. It also ends when the caller's is cancelled, with the text
// of its cause, and when the parent ends. Then the function has the grace period (see [GracePeriod]) to
// return, but not at the end of the context of [Func.Start]. Values of the caller's context do not travel.
//
// Programs that a function starts are its own to end: they live on when the child ends, as those of [RegisterFunc] do when it is
// killed. So give them the context ([exec.CommandContext]), or the child a PID namespace of its own ([Unshare]), with which all in it
// ends.
//
// SIGINT, SIGTERM and SIGHUP, as of a terminal or a service manager, do not end such a function before its parent has
// had the grace period to cancel the call. If it does not, the child then ends by the signal, even if the function
// catches it.
func RegisterFuncContext[P, R any](name string, fn func(ctx context.Context, param P) (R, error)) Func[P, R] {
	s := shape{name: name, context: true}
	return Func[P, R]{register[P, R](s, fn != nil, func(ctx context.Context, param P, _ func(any) bool) (any, error) {
		result, err := fn(ctx, param)
		return &result, err
	})}
}

// register registers the action of a function, if there is one, with parameters of type P and answers
// of type A. What run returns, and gives to emit, is a pointer to an answer.
func register[P, A any](s shape, exists bool, run func(ctx context.Context, param P, emit func(any) bool) (any, error)) shape {
	if !exists {
		Register(s.name, nil) // panics
	}
	if order.Action == "" || order.Action == s.name { // in a child it takes too long to look at what is not called
		param, answer := reflect.TypeFor[P](), reflect.TypeFor[A]()
		s.mustTravel("parameter", param)
		if s.stream {
			s.mustTravel("event", answer)
		} else {
			s.mustTravel("result", answer)
		}
		s.hash = int64(value.Hash(param, answer))
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

// mustTravel panics if values of a type can never travel.
func (s shape) mustTravel(what string, t reflect.Type) {
	if _, err := value.Check(t); err != nil {
		panic(fmt.Sprintf("gons/reexec: function %q: %s cannot travel: %v", s.name, what, err))
	}
}

// Call runs the function in a child of its own, and returns its result once that child
// has ended and is reaped.
//
//	name, err := hostname.Call(ctx, struct{}{}, reexec.Target(pid, "user", "uts"))
//
// An error that the function returns arrives as a [*FuncError], a panic or a
// [runtime.Goexit] as a [*PanicError]. Everything else that goes wrong is an
// [*ActionError], such as a namespace that cannot be joined (with a [*JoinError] in its
// chain), or a child that has ended without an answer. With an error the result is the
// zero value.
//
// When ctx is done, the error wraps [context.Cause](ctx), and the child is killed, unless the answer has arrived
// by then. Only a function of [RegisterFuncContext] first has the grace period to return; if it returns an
// error, that is wrapped, too. The [*ActionError] tells where the goroutines of a killed child were. A child that the kernel does
// not end, as one that waits for a file system that does not answer, is given up: the error says so.
//
// The child inherits what children inherit, also the namespaces of the calling thread if
// the caller has locked itself to one ([runtime.LockOSThread]). A child that lingers after
// its answer is killed after the grace period (see [GracePeriod]), which is no error; for
// as long Call waits for descendants of the child that hold its stderr.
//
// Call panics if [CheckAction] has not been called, in a child, if ctx is nil, if f is the
// zero Func, and if there is a [Param], a [Result] or a [Concurrency] among the options.
func (f Func[P, R]) Call(ctx context.Context, param P, options ...ReexecActionOption) (result R, err error) {
	once, err := f.once(ctx, &param, options)
	if err != nil {
		return result, err
	}
	finished := false
	defer func() {
		if !finished { // decoding has panicked
			once.Kill(errDecoder)
		}
	}()
	run := f.facts()
	answer, err := once.Next()
	if err == nil {
		run.hear(answer, &result)
	}
	end := once.Finish()
	finished = true
	if unsent := (*call.UnsentError)(nil); errors.As(err, &unsent) {
		return result, run.unsent(unsent.Err)
	}
	if err := run.ended(end); err != nil {
		discard(&result)
		return *new(R), err
	}
	return result, nil
}

// errDecoder is why a child is killed whose result made the parent's decoder panic.
var errDecoder = errors.New("decoder of the result panicked")

// once starts a child for a single call, whose parameter pointer points to.
func (s shape) once(ctx context.Context, pointer any, options []ReexecActionOption) (*call.Once, error) {
	a := s.action(ctx, options)
	a.mustNotBeConcurrent()
	run := s.facts()
	if ctx.Err() != nil {
		return nil, run.notStarted(context.Cause(ctx))
	}
	param, err := call.NewParam(ctx, pointer)
	if err != nil {
		return nil, run.unanswered(err)
	}
	once, err := call.Begin(ctx, s.spec(a), param)
	if err != nil {
		return nil, run.unanswered(err)
	}
	return once, nil
}

// spec returns what the child of a function is to be.
func (s shape) spec(a *ReexecAction) call.Spec {
	return call.Spec{Spec: a.spec(), Context: s.context, Stream: s.stream, Hash: s.hash}
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
	s.mustBeAbleToRun()
	if a.options.Stderr == nil {
		a.options.Stderr = child.ParentStderr{}
	}
	return a
}

// discard closes the open files of a result, given by a pointer, that has no receiver.
func discard(result any) {
	for _, f := range value.Files(result) {
		_ = f.Close()
	}
}
