// Package serve is the child's side of a function: one loop takes calls from stdin, and
// answers each on a pipe of its own, so that whatever else prints cannot damage an answer.
// A call in a child of its own, a worker and a stream are the same to it. It is for the
// functions that the root registers, and for CheckAction, which refuses in their place.
package serve

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"

	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/orders"
	"example.com/gons/reexec/internal/testsupport"
)

// A Function is what a child serves.
type Function struct {
	Name    string
	Context bool   // it obeys its context
	Files   bool   // what it answers may hold open files
	Types   uint64 // the hash of its types

	// Call serves one call. It decodes the parameter; the result is encoded after it has
	// returned. Where emit returns false, no more events are wanted. All three are pointers.
	Call func(ctx context.Context, decode func(any) error, emit func(event any) bool) (result any, err error)
}

// A server serves the calls of one child.
type server struct {
	function Function
	answers  *os.File
	control  *control
	params   *frame.Reader
	slots    chan struct{} // one for each call that is being served
	gc       pausedGC

	answering sync.Mutex // held by who writes to answers
}

// Serve serves calls until the parent has no more. It does not return before all are
// answered.
func Serve(o orders.Orders, function Function) {
	s := &server{function: function, answers: answers(o)}
	if s.answers == nil {
		fmt.Fprintf(os.Stderr, "gons/reexec: function %q must be called with Func.Call", function.Name)
		testsupport.Exit(1)
	}
	stdin, err := takeStdin()
	if err != nil {
		s.refuse("cannot take parameters: " + err.Error())
	}
	s.params = frame.NewReader(stdin)
	s.params.Large = s.gc.pauseFor
	s.slots = make(chan struct{}, max(o.Concurrency, 1))
	s.control = newControl(o, function.Context)
	if o.Ready {
		s.outlastInterrupts()
		outliveStderr()
		s.tell(frame.Header{Kind: frame.Ready}, nil)
	}
	s.loop()
}

// outlastInterrupts has a worker survive Ctrl-C at its parent's terminal while it serves no call: what to do about
// it is up to the parent.
func (s *server) outlastInterrupts() {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	go func() {
		for range interrupts {
			if len(s.slots) > 0 {
				break
			}
		}
		signal.Stop(interrupts) // and do as if nobody had caught it
		if self, err := os.FindProcess(os.Getpid()); err != nil || self.Signal(os.Interrupt) != nil {
			testsupport.Exit(2)
		}
	}()
}

// Refuse tells the parent why this child does not serve its function, and ends the child. It
// returns only if this child is not meant to serve a function.
func Refuse(o orders.Orders, why string) {
	if s := (&server{answers: answers(o)}); s.answers != nil {
		s.refuse(why)
	}
}

// refuse ends the child.
func (s *server) refuse(why string) {
	s.tell(frame.Header{Kind: frame.Refusal}, &why)
	testsupport.Exit(1)
}

func answers(o orders.Orders) *os.File {
	if o.Answers == 0 {
		return nil
	}
	return os.NewFile(uintptr(o.Answers), "answers")
}

// loop takes calls. One at a time is served by the loop itself, which spares it two
// switches of goroutines.
func (s *server) loop() {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		param, err := s.params.Next()
		if err != nil {
			return // the parent has no more parameters, or is no more
		}
		if param.Types != s.function.Types {
			s.refuse("child is another program than its parent: its executable has been replaced")
		}
		s.slots <- struct{}{}
		ctx, begun := s.control.begin(&param)
		switch {
		case !begun:
			param.CloseFiles()
			s.gc.resumeAfter(param.Length)
			s.tell(frame.Header{Kind: frame.Withdrawn, Call: param.Call}, nil)
			<-s.slots
		case cap(s.slots) == 1:
			s.serve(ctx, param)
		default:
			all.Go(func() { s.serve(ctx, param) })
		}
	}
}

// serve serves a call. A panic ends the child.
func (s *server) serve(ctx context.Context, param frame.Frame) {
	returned := false
	defer func() {
		value := recover()
		if returned {
			return
		}
		if value == nil {
			value = "runtime.Goexit was called"
		}
		s.tell(frame.Header{Kind: frame.Panicked, Call: param.Call},
			&frame.Panic{Value: fmt.Sprint(value), Stack: debug.Stack()})
		testsupport.Exit(2)
	}()
	decode := func(value any) error {
		defer s.gc.resumeAfter(param.Length)
		if err := param.Decode(value); err != nil {
			return &decodeError{err}
		}
		return nil
	}
	var unsent error
	emit := func(event any) bool {
		if ctx.Err() != nil || unsent != nil {
			s.drop(event) // as if it had been sent
			return false
		}
		unsent = s.answer(frame.Header{Kind: frame.Event, Call: param.Call}, event)
		return ctx.Err() == nil && unsent == nil
	}
	result, err := s.function.Call(ctx, decode, emit)
	if unsent != nil {
		err = unsent
	}
	s.control.end(param.Call)
	s.conclude(param.Call, result, err)
	<-s.slots
	returned = true
}
