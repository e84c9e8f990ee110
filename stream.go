package reexec

import (
	"context"
	"errors"
	"iter"

	"example.com/gons/reexec/internal/call"
)

// A Stream is a function that runs in a child, in other namespaces, and yields events to its caller
// as they come. [RegisterStream] makes one. Parameters and events travel as those of a [Func] do,
// open files included. A Stream is safe for concurrent use.
type Stream[P, E any] struct {
	shape
}

// RegisterStream makes a function that calls yield for each event callable in children, under a
// name that is unique in the program. It panics as [RegisterFunc] does.
//
//	var lines = reexec.RegisterStream("lines",
//		func(ctx context.Context, path string, yield func(string) bool) error {
//			f, err := os.Open(path)
//			if err != nil {
//				return err
//			}
//			defer f.Close()
//			s := bufio.NewScanner(f)
//			for s.Scan() && yield(s.Text()) {
//			}
//			return s.Err()
//		})
//
// If yield returns false, no more events are wanted, and the function should return: its context
// has ended, or the event could not be sent. The function obeys its context, as one of
// [RegisterFuncContext] does: while it waits for something, it has to return when ctx is done. Only
// one goroutine at a time may call yield.
//
// Once yield returns, the event has been written, so that not even [os.Exit] loses it, and files in
// it are closed. The caller may not have it yet: the function may be as far ahead as a pipe holds,
// thousands of small events, and yield blocks while the pipe is full. So the caller may have left
// its loop several events before yield returns false.
func RegisterStream[P, E any](name string, fn func(ctx context.Context, param P, yield func(E) bool) error) Stream[P, E] {
	s := shape{name: name, context: true, stream: true}
	return Stream[P, E]{register[P, E](s, fn != nil, func(ctx context.Context, param P, emit func(any) bool) (any, error) {
		return nil, fn(ctx, param, func(event E) bool { return emit(&event) })
	})}
}

// Call returns the events of a run of the function in a child of its own, in their order.
//
//	for line, err := range lines.Call(ctx, "/etc/hosts", reexec.Target(pid, "user", "mnt")) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(line)
//	}
//
// An error is the last pair, with the zero event. Errors are those of [Func.Call]. The end of ctx
// is one, too, and wraps [context.Cause](ctx): it is the next pair, and events that have not been
// read are dropped.
//
// Breaking out of the loop is no error: it ends the function's context, and the child has the grace
// period (see [GracePeriod]) to end.
//
// The child starts when the loop begins, and is reaped when the loop is over, however it ended. The
// function itself has to end programs that it has started, see [RegisterFuncContext]. Ranging twice
// runs the function twice, each time in a new child. A slow loop slows the function down, once the
// pipe is full.
//
// Call panics where [Func.Call] does, and does so before the loop.
func (s Stream[P, E]) Call(ctx context.Context, param P, options ...ReexecActionOption) iter.Seq2[E, error] {
	s.action(ctx, options).mustNotBeConcurrent()
	return func(yield func(E, error) bool) {
		err := s.run(ctx, &param, options, nil, func(answer *call.Frame) error {
			var event E
			if err := answer.Decode(&event); err != nil {
				return err
			}
			if !yield(event, nil) {
				return errBreak
			}
			return nil
		})
		if err != nil {
			yield(*new(E), err)
		}
	}
}

// errBreak says that the loop over the events was left.
var errBreak = errors.New("loop was left")
