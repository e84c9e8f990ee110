package call

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
	"example.com/gons/reexec/internal/value"
)

// A Function is what a child serves.
type Function struct {
	Name    string
	Context bool  // it obeys its context
	Hash    int64 // of its types

	// Call serves one call. It decodes the parameter; the result, a pointer, is encoded after it has
	// returned. Where emit, which takes a pointer, returns false, no more events are wanted.
	Call func(ctx context.Context, decode func(pointer any) error, emit func(event any) bool) (result any, err error)
}

// A server serves the calls of one child.
type server struct {
	function Function
	answers  *os.File
	many     int            // how many calls it serves at a time, until there are no more; 0: it serves one
	in       incoming       // calls
	all      sync.WaitGroup // all goroutines that read or serve calls
	control  *control
	signals  *signals

	answering sync.Mutex // held from the first open file of an answer until it is written
}

// Serve serves calls until the parent has no more. It does not return before all are
// answered.
func Serve(o child.Orders, function Function) {
	s := &server{function: function, many: o.Concurrency}
	if o.Answers == 0 {
		fmt.Fprintf(os.Stderr, "gons/reexec: function %q must be called with Func.Call", function.Name)
		child.Exit(1)
	}
	var low []int
	for _, fd := range []*int{&o.Answers, &o.Control, &o.Stderr} {
		number := *fd
		if *fd = sys.Raise(number); *fd != number { // out of reach of code that closes, or reuses, the first descriptors
			low = append(low, number)
		}
	}
	s.answers = os.NewFile(uintptr(o.Answers), "answers")
	stdin, err := sys.TakeStdin()
	if err != nil {
		s.last(Refused, "cannot take parameters: "+err.Error())
		child.Exit(1)
	}
	s.in = newIncoming(stdin)
	s.signals = newSignals(s, o)
	s.control = newControl(s, o)
	sys.CloseDescriptors(low) // only now, or the first ones would be those of the runtime's poller
	if s.many > 0 {
		s.tell(header{Kind: ready}, nil)
	}
	s.all.Go(s.next)
	s.all.Wait()
}

// Refuse tells the parent why this child does not serve its function, and ends the child. It
// returns only if this child is not meant to serve a function.
func Refuse(o child.Orders, why string) {
	if o.Answers != 0 {
		s := &server{answers: os.NewFile(uintptr(o.Answers), "answers")}
		s.last(Refused, why)
		child.Exit(1)
	}
}

// last tells why this child ends.
func (s *server) last(kind Kind, why string) { s.tell(header{Kind: kind}, &why) }

// next reads the next call and serves it. It is the goroutine of one call, which gets its successor before it ends: so a
// thread that the function has locked and changed ends with it (runtime.LockOSThread), and no call takes a
// switch of goroutines.
func (s *server) next() {
	f, err := s.in.read()
	if err != nil {
		return // the parent has no more calls, or has ended
	}
	ctx, begun := s.control.begin(&f)
	if s.many > 1 {
		s.all.Go(s.next)
	}
	if begun {
		s.serve(ctx, &f)
	} else {
		f.Close()
	}
	if s.many == 1 {
		s.all.Go(s.next)
	}
}

// serve serves a call. A panic ends the child.
func (s *server) serve(ctx context.Context, f *Frame) {
	returned := false
	defer func() {
		if returned {
			return
		}
		value := recover()
		if value == nil {
			value = "runtime.Goexit was called"
		}
		s.tell(header{Kind: Panicked, call: f.call}, &Panic{Value: shorten(fmt.Sprint(value)), Stack: debug.Stack()})
		child.Exit(2)
	}()
	s.signals.begin()
	kind := Failed // of an error
	decode := func(pointer any) error {
		err := f.Decode(pointer)
		if err != nil {
			kind, err = Unread, fmt.Errorf("cannot decode parameter in child, reason: %w", err)
		}
		return err
	}
	var unsent error
	emit := func(event any) bool {
		if ctx.Err() != nil || unsent != nil {
			closeFiles(value.Files(event)) // as if it had been sent
			return false
		}
		unsent = s.answer(header{Kind: Event, call: f.call}, "event", event)
		return ctx.Err() == nil && unsent == nil
	}
	result, err := s.function.Call(ctx, decode, emit)
	if unsent != nil {
		kind, err = Unserved, unsent
	}
	s.control.end(f.call)
	s.signals.finish()
	s.conclude(f.call, result, kind, err)
	returned = true
}

// stacks tells the parent where all goroutines are, first of all those that serve calls.
func (s *server) stacks(call uint64) {
	text := make([]byte, 16*maxText)
	text = text[:runtime.Stack(text, true)]
	goroutines := bytes.Split(bytes.TrimSpace(text), []byte("\n\n"))[1:] // the first one is this
	slices.SortStableFunc(goroutines, func(a, b []byte) int { return cmp.Compare(serving(b), serving(a)) })
	text = bytes.Join(goroutines, []byte("\n\n"))
	text = text[:min(len(text), maxText)]
	s.tell(header{Kind: stack, call: call}, &text)
}

// serving tells how many calls a goroutine serves, by its stack.
func serving(goroutine []byte) int { return bytes.Count(goroutine, []byte(".(*server).serve(")) }

// conclude answers a call with its result, or with an error of a kind.
func (s *server) conclude(call uint64, result any, kind Kind, err error) {
	if err == nil {
		if err = s.answer(header{Kind: Result, call: call}, "result", result); err == nil {
			return
		}
		kind = Unserved
	} else if result != nil {
		closeFiles(value.Files(result))
	}
	s.tell(header{Kind: kind, call: call}, newFailure(err))
}

// answer sends the value that pointer points to, and its open files, which it closes. Its error says why the value cannot be
// sent. A parent that has ended is no error.
func (s *server) answer(h header, what string, pointer any) error {
	h.extra = s.function.Hash
	o, err := encode(h, pointer)
	if err != nil {
		closeFiles(value.Files(pointer))
		return fmt.Errorf("cannot encode %s in child, reason: %w", what, err)
	}
	defer closeFiles(o.files)
	open, err := duplicates(o.files)
	s.answering.Lock()
	defer s.answering.Unlock()
	if len(open) > 0 {
		err = sendFiles(s.control.socket, h.call, open, true) // its parent may be slow
	}
	if err != nil {
		return fmt.Errorf("cannot send %s in child, reason: %w", what, err)
	}
	sys.GrowPipe(s.answers, o.size())
	for _, part := range o.parts {
		if _, err = s.answers.Write(part); err != nil { // the parent has ended
			if s.control != nil {
				s.control.orphaned()
			}
			return nil
		}
	}
	o.free()
	return nil
}

// tell sends what can be encoded for sure.
func (s *server) tell(h header, pointer any) { _ = s.answer(h, "", pointer) }

// closeFiles closes the open files of a value, but never a standard stream.
func closeFiles(files []*os.File) {
	for _, f := range files {
		if !sys.IsStandard(f) {
			_ = f.Close()
		}
	}
}
