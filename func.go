package reexec

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"

	"example.com/gons/reexec/internal/testsupport"
)

// A Func is a function that runs in a child, in other namespaces, and is called
// like any other: [RegisterFunc] makes one. Parameters and results travel as
// JSON, so only what JSON carries arrives.
//
// The function may print what it likes: stdout of the child is that of the parent,
// and its stderr is copied to the parent's, or to where [Stderr] sends it. Neither
// tells anything about success. Its stdin is empty. A Func is safe for concurrent
// use.
type Func[P, R any] struct {
	name string
}

// RegisterFunc makes a function callable in children, under a name that it
// shares with those of [Register]. A package-level variable is the place for it:
//
//	var hostname = reexec.RegisterFunc("hostname",
//		func(struct{}) (string, error) { return os.Hostname() })
//
// It panics as [Register] does.
func RegisterFunc[P, R any](name string, fn func(P) (R, error)) Func[P, R] {
	if fn == nil {
		Register(name, nil) // panics
	}
	Register(name, func() {
		serve(name, func(body []byte, decoded func()) ([]byte, error) {
			var param P
			err := json.Unmarshal(body, &param)
			decoded()
			if err != nil {
				return newFrame(badFrame, "cannot decode parameter in child, reason: "+err.Error())
			}
			result, err := fn(param)
			if err != nil {
				return newFrame(errorFrame, newFuncError(name, err))
			}
			frame, err := newFrame(resultFrame, result)
			if err != nil {
				return newFrame(badFrame, "cannot encode result in child, reason: "+err.Error())
			}
			return frame, nil
		})
	})
	return Func[P, R]{name: name}
}

// Call runs the function in a child of its own and blocks until that child has
// ended, as [ReexecAction.RunContext] does.
//
// With an error the result is the zero value. An error that the function returns
// arrives as a [*FuncError]. A panic arrives as a [*PanicError], and so does
// [runtime.Goexit]. Everything else that goes wrong is an [*ActionError], also the
// end of the child before it has answered. When ctx is done, the child is killed.
//
// Call panics where RunContext does, if f is the zero Func, and if there is a
// [Param] or a [Result] among the options.
func (f Func[P, R]) Call(ctx context.Context, param P, options ...ReexecActionOption) (result R, err error) {
	a := newFuncAction(ctx, f.name, options)
	if err := a.notStarted(ctx); err != nil {
		return result, err
	}
	frame, err := a.paramFrame(param)
	if err != nil {
		return result, err
	}
	l, err := a.dial(ctx, frame, false)
	if err != nil {
		return result, err
	}
	if err := l.hangUp(l.receive(&result)); err != nil {
		return *new(R), err
	}
	return result, nil
}

// Start starts a child that serves any number of calls, one at a time, and
// returns once it is in its namespaces and ready. When ctx is done, the child is
// killed. The worker must be closed.
//
// Errors and panics are those of [Func.Call].
func (f Func[P, R]) Start(ctx context.Context, options ...ReexecActionOption) (*Worker[P, R], error) {
	a := newFuncAction(ctx, f.name, options)
	if err := a.notStarted(ctx); err != nil {
		return nil, err
	}
	l, err := a.dial(ctx, nil, true)
	if err != nil {
		return nil, err
	}
	return &Worker[P, R]{line: l}, nil
}

// newFuncAction returns the action that serves a function.
func newFuncAction(ctx context.Context, name string, options []ReexecActionOption) *ReexecAction {
	if name == "" {
		panic("gons/reexec: Func: zero Func, use RegisterFunc")
	}
	if ctx == nil {
		panic("nil Context")
	}
	a := NewReexecAction(name, options...)
	if a.Param != nil || a.Result != nil {
		panic(fmt.Sprintf("gons/reexec: Func: function %q takes neither the option Param nor the option Result", name))
	}
	mustBeAbleToRun(name)
	a.isFunc = true
	if a.stderr == nil {
		a.stderr = parentStderr{}
	}
	return a
}

// parentStderr is where stderr goes by default. As it says nothing about the
// function's success, neither does what cannot be written there.
type parentStderr struct{}

func (parentStderr) Write(b []byte) (int, error) {
	_, _ = os.Stderr.Write(b)
	return len(b), nil
}

// paramFrame encodes a parameter.
func (a *ReexecAction) paramFrame(param any) ([]byte, error) {
	frame, err := newFrame(paramFrame, param)
	if err != nil {
		return nil, a.failure("cannot send parameter to child, reason: "+err.Error(), "", err)
	}
	return frame, nil
}

// serve is the action of a function: it answers frame by frame, until the parent
// has no more parameters. To make an answer, call decodes the parameter, says so, and
// calls the function.
func serve(name string, call func(param []byte, decoded func()) (answer []byte, err error)) {
	if order.answers == nil {
		fmt.Fprintf(os.Stderr, "gons/reexec: function %q must be called with Func.Call", name)
		testsupport.Exit(1)
	}
	params, err := takeStdin()
	if err != nil {
		tellParent(switchFrame, "gons/reexec: cannot take parameters: "+err.Error())
		testsupport.Exit(1)
	}
	done := false
	defer func() {
		value := recover()
		if value == nil && !done {
			value = "runtime.Goexit was called"
		}
		if value != nil {
			tellParent(panicFrame, &PanicError{Func: name, Value: fmt.Sprint(value), Stack: debug.Stack()})
			testsupport.Exit(2)
		}
	}()
	if order.ready {
		tellParent(readyFrame, nil)
	}
	buffered := bufio.NewReader(params)
	for {
		resume := pauseGC(buffered)
		_, param, err := readFrame(buffered)
		if err != nil {
			done = true // the parent has no more parameters, or is no more
			return
		}
		answer, err := call(param, resume)
		if err != nil {
			panic(err)
		}
		answerParent(answer)
	}
}

// pauseGC pauses garbage collection while a large parameter is read and decoded,
// until resume is called: the heap of a fresh child is so small that it would be
// collected over and over, which takes longer than all the rest. A memory limit
// (GOMEMLIMIT) still holds.
func pauseGC(params *bufio.Reader) (resume func()) {
	if header, _ := params.Peek(frameHeader); frameLength(header) <= maxPipe {
		return func() {}
	}
	percent := debug.SetGCPercent(-1)
	return func() { debug.SetGCPercent(percent) }
}

// tellParent sends an answer made of something that can be encoded for sure.
func tellParent(kind byte, value any) {
	frame, err := newFrame(kind, value)
	if err != nil {
		panic(err)
	}
	answerParent(frame)
}

// answerParent sends an answer. Where nobody listens any more, the child ends.
func answerParent(frame []byte) {
	growPipe(order.answers, len(frame))
	if _, err := order.answers.Write(frame); err != nil {
		testsupport.Exit(1)
	}
}

// A FuncError is an error that a function has returned in a child.
type FuncError struct {
	Func    string        // name of the function
	Message string        // text of the error it returned
	Errno   syscall.Errno // the first one in the chain of that error, or 0
}

// newFuncError keeps of an error what is understood elsewhere.
func newFuncError(name string, err error) *FuncError {
	e := &FuncError{Func: name, Message: err.Error()}
	errors.As(err, &e.Errno)
	return e
}

// Error returns the text of the error that the function returned, as one line.
func (e *FuncError) Error() string { return oneLine(e.Message) }

// Unwrap returns the system call's error, so that [errors.Is] finds for instance
// [fs.ErrNotExist] on both sides.
func (e *FuncError) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// A PanicError is a panic of a function in a child.
type PanicError struct {
	Func  string // name of the function
	Value string // the panic value, printed
	Stack []byte // the child's stack
}

// Error returns the panic value; the stack is left to those who want it.
func (e *PanicError) Error() string {
	return fmt.Sprintf("gons/reexec: function %q panicked: %s", e.Func, oneLine(e.Value))
}
