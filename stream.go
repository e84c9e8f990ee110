package reexec

import (
	"context"
	"iter"

	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/process"
)

// A Stream is a function that runs in a child, in other namespaces, and tells its caller of
// events as they come: [RegisterStream] makes one. Parameters and events travel as those
// of a [Func] do. A Stream is safe for concurrent use.
type Stream[P, E any] struct {
	shape
}

// RegisterStream makes a stream callable in children, under a name that it shares with those of
// [Register]. It panics as [RegisterFunc] does.
//
// The function calls yield for each event. The event has been written when yield returns, so that not
// even [os.Exit] loses it; files in it are closed then. Where yield returns false, no more events are wanted: its
// context has ended, or the event could not be sent. Only one goroutine at a time may call yield.
func RegisterStream[P, E any](name string, fn func(ctx context.Context, param P, yield func(E) bool) error) Stream[P, E] {
	if fn == nil {
		Register(name, nil) // panics
	}
	s := newShape[P, E](name, true)
	s.register(func(ctx context.Context, decode func(any) error, emit func(any) bool) (any, error) {
		var param P
		if err := decode(&param); err != nil {
			return nil, err
		}
		return nil, fn(ctx, param, func(event E) bool { return emit(event) })
	})
	return Stream[P, E]{s}
}

// Call runs the function in a child of its own and returns its events, in their order. Nothing runs before
// the loop begins, and nothing is left when it is over, however it ended. Ranging twice runs the
// function twice.
//
// An error is the last pair, with the zero event; errors are those of [Func.Call]. Breaking out of
// the loop ends the function's context; the child then has the grace period (see [GracePeriod]) to
// end. A slow loop slows the function down.
//
// Call panics where [Func.Call] does.
func (s Stream[P, E]) Call(ctx context.Context, param P, options ...ReexecActionOption) iter.Seq2[E, error] {
	s.action(ctx, options).mustMakeSense()
	return func(yield func(E, error) bool) {
		if err := s.each(ctx, param, options, func(event E) bool { return yield(event, nil) }); err != nil {
			yield(*new(E), err)
		}
	}
}

// each gives each event to yield, until that returns false; then the error does not matter.
func (s Stream[P, E]) each(ctx context.Context, param P, options []ReexecActionOption, yield func(E) bool) error {
	alone, err := s.alone(ctx, param, options)
	if err != nil {
		return err
	}
	talk, run := alone.talk, alone.facts
	finished := false
	defer func() {
		if !finished { // the loop, or decoding, has panicked
			talk.Kill(alone.call, errDecoder)
		}
	}()
	wanted := true
	var undecoded error
	for {
		answer, err := talk.Next(alone.call)
		if err != nil {
			break
		}
		if answer.Kind != frame.Event {
			run.hear(answer, new(any))
			break
		}
		if !wanted {
			answer.CloseFiles()
			continue
		}
		var event E
		if undecoded = answer.Unmarshal(&event); undecoded != nil || !yield(event) {
			wanted = false
			talk.Cancel(alone.call)
		}
	}
	end := talk.Finish()
	finished = true
	switch {
	case undecoded != nil: // which is why the child was told to end
		return facts{name: s.name, function: true, Outcome: process.Outcome{Stderr: end.Stderr}, decode: undecoded}.explain()
	case !wanted:
		return nil
	}
	return run.ended(end)
}
