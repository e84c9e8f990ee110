package reexec

import (
	"context"

	"example.com/gons/reexec/internal/value"
)

// A Func is a function that runs in a child, in other namespaces, and is called like any other.
// [RegisterFunc] makes one. A Func is safe for concurrent use.
//
// Parameters and results arrive as they were sent. Of structs the exported fields travel, those of
// embedded structs too, but none tagged json:"-". Types with MarshalJSON, MarshalText or
// MarshalBinary, and its counterpart, travel by these. An interface may hold nil, booleans,
// numbers, strings, []byte, [time.Time], and slices and maps with string keys of these. Anything
// else in it, and what contains itself, is an error of the call. Types that can never travel, such
// as channels, panic at registration. docs/values.md tells more.
//
// A function may print. Its stdout is that of the parent, and its stderr is copied to the parent's,
// or to where [Stdout] and [Stderr] send them; neither tells anything about success. Its stdin is
// empty.
//
// The child of a Call ends once it has answered, and all its goroutines with it. A pipe to which
// one of them still writes ends there, too; docs/values.md tells what to do instead.
//
// Open files travel, too. An [*os.File] arrives as an open file, be it the value itself or in its
// exported fields, slices, arrays, maps and pointers. So a function can open something inside, and
// its caller uses it outside:
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
// [net.FilePacketConn] make duplicates of it, so close it after that. A function need not close the
// files of its result: they are closed in the child once they are sent, but for stdin, stdout and
// stderr. The files of a parameter stay open in the parent; the function owns those that it gets.
//
// Both sides of a file share its offset and its flags, O_NONBLOCK among them, as after dup(2). A
// file in an interface is an error, and one in a type that encodes itself stays behind. On Windows
// no file travels, which is an error that wraps [errors.ErrUnsupported].
type Func[P, R any] struct {
	shape
}

// RegisterFunc makes a function callable in children, under a name that is unique in the program. A
// package-level variable is the place for it:
//
//	var hostname = reexec.RegisterFunc("hostname",
//		func(struct{}) (string, error) { return os.Hostname() })
//
// When the context of a call ends, fn is killed together with its child; see [RegisterFuncContext]
// for a function that is asked to return.
//
// RegisterFunc panics if the name is empty or already taken, by [Register], too, if fn is nil, and
// if values of its types can never travel, such as channels. A function that is registered after
// [CheckAction] is unknown to its child, and each call of it an error.
func RegisterFunc[P, R any](name string, fn func(P) (R, error)) Func[P, R] {
	s := shape{name: name}
	return Func[P, R]{register[P, R](s, fn != nil, func(_ context.Context, param P, _ func(any) bool) (any, error) {
		result, err := fn(param)
		return &result, err
	})}
}

// RegisterFuncContext is [RegisterFunc] for a function that obeys its context:
//
//	var doze = reexec.RegisterFuncContext("doze",
//		func(ctx context.Context, d time.Duration) (struct{}, error) {
//			select {
//			case <-time.After(d):
//				return struct{}{}, nil
//			case <-ctx.Done(): // there is time to clean up
//				return struct{}{}, ctx.Err()
//			}
//		})
//
// The context has the deadline of the caller's, and ends by itself then. It also ends when the
// caller's is cancelled, with the text of its cause, and when the parent ends. Then the function
// has the grace period (see [GracePeriod]) to return. But the end of the context of [Func.Start]
// kills it at once. Values of the caller's context do not travel.
//
// Programs that a function starts are its own to end: they live on when the child ends, as those of
// [RegisterFunc] do when it is killed. So give them the context ([exec.CommandContext]), or the
// child a PID namespace of its own ([Unshare]), with which all in it ends.
//
// SIGINT, SIGTERM and SIGHUP, as of a terminal or a service manager, do not end such a function
// before its parent has had the grace period to cancel the call. If it does not, the child then
// ends by the signal, even if the function catches it.
func RegisterFuncContext[P, R any](name string, fn func(ctx context.Context, param P) (R, error)) Func[P, R] {
	s := shape{name: name, context: true}
	return Func[P, R]{register[P, R](s, fn != nil, func(ctx context.Context, param P, _ func(any) bool) (any, error) {
		result, err := fn(ctx, param)
		return &result, err
	})}
}

// Call runs the function in a child of its own, and returns its result once that child has ended
// and is reaped.
//
//	name, err := hostname.Call(ctx, struct{}{}, reexec.Target(pid, "user", "uts"))
//
// An error that the function returns arrives as a [*FuncError], a panic or a [runtime.Goexit] as a
// [*PanicError]. Everything else that goes wrong is an [*ActionError], such as a namespace that
// cannot be joined (with a [*JoinError] in its chain), or a child that has ended without an answer.
// With an error the result is the zero value. [ErrNotStarted] tells which calls may be tried again.
//
// When ctx is done, the child is killed, and the error wraps [context.Cause](ctx), unless the
// answer has arrived by then. Only a function of [RegisterFuncContext] first has the grace period
// to return; if it returns an error, that is wrapped, too. Stack of the [*ActionError] tells where
// the goroutines of a killed child were. Call gives up a child that the kernel does not end, as one
// that waits for a file system that does not answer, and the error says so.
//
// A child that lingers after its answer is killed after the grace period (see [GracePeriod]), which
// is no error. For as long Call waits for descendants of the child that hold its stderr. The child
// inherits what children inherit, also the namespaces of the calling thread if the caller has
// locked itself to it ([runtime.LockOSThread]).
//
// Call panics if [CheckAction] has not been called, in a child, if ctx is nil, if f is the zero
// Func, and if there is a [Param], a [Result] or a [Concurrency] among the options.
func (f Func[P, R]) Call(ctx context.Context, param P, options ...ReexecActionOption) (result R, err error) {
	if err := f.run(ctx, &param, options, &result, nil); err != nil {
		discard(&result)
		return *new(R), err
	}
	return result, nil
}

// discard closes the open files of a result that is not returned.
func discard(result any) {
	for _, f := range value.Files(result) {
		_ = f.Close()
	}
}
