package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// obedient says what it is told and waits for the end of its context. Then it tells of it, and of contexts derived from it.
var obedient = reexec.RegisterFuncContext("obedient", obey)

func obey(ctx context.Context, how string) (string, error) {
	cancellable, cancel := context.WithCancel(ctx)
	defer cancel()
	timely, cancelTimely := context.WithTimeoutCause(context.WithValue(cancellable, contextKey{}, 1), time.Hour, errors.New("other"))
	defer cancelTimely()
	after := make(chan struct{})
	context.AfterFunc(timely, func() { close(after) })
	switch how {
	case "answer":
		return fmt.Sprint(ctx.Err(), context.Cause(ctx)), nil
	case "hold":
		enter("began")
		return fmt.Sprint(ctx.Err()), nil
	}
	fmt.Fprintln(os.Stderr, "began")
	<-after
	late, cancelLate := context.WithCancel(ctx)
	defer cancelLate()
	for _, c := range []context.Context{ctx, cancellable, timely, late} {
		<-c.Done()
		fmt.Fprintf(os.Stderr, "Err: %v, %t, %t. Cause: %v.\n",
			c.Err(), c.Err() == context.Canceled, c.Err() == context.DeadlineExceeded, context.Cause(c))
	}
	switch how {
	case "fail":
		return "", fmt.Errorf("my own: %w", ctx.Err())
	case "stay":
		enter("stays")
	case "exit":
		os.Exit(3)
	}
	return "late", nil
}

// obedientStream does so when what it yields is not wanted any more.
var obedientStream = reexec.RegisterStream("obedient stream", func(ctx context.Context, _ struct{}, yield func(int) bool) error {
	fmt.Fprintln(os.Stderr, "began")
	for yield(1) {
	}
	return errorOf(obey(ctx, "return"))
})

type contextKey struct{}

var deadline = reexec.RegisterFuncContext("deadline", func(ctx context.Context, _ struct{}) (when *time.Time, err error) {
	if d, ok := ctx.Deadline(); ok {
		when = &d
	}
	return when, ctx.Err()
})

type deadContext struct {
	context.Context
	deadline time.Time
}

func (c deadContext) Deadline() (time.Time, bool) { return c.deadline, true }

// An ownContext ends when the one in it does, and says in its own way why.
type ownContext struct {
	context.Context
	err error
}

func (c ownContext) Err() error {
	if isOver(c.Done()) {
		return c.err
	}
	return nil
}

func (c ownContext) Value(any) any { return nil }

var _ = Describe("contexts of functions", func() {
	DescribeTable("end, with error and cause, as those of the parent do", func(own bool, cause error) {
		g := newGate()
		for _, call := range bothCalls(obedient, g.options(ofGrace(time.Hour))...) {
			ctx, cancel := context.WithCancelCause(background)
			parent := ctx
			if own {
				parent = ownContext{ctx, cause}
			}
			done := goCall(call, parent, "return")
			g.says("began")
			cancel(cause)
			Expect(asActionError(errorOf(end(done)))).To(MatchError(cause))
			for range 4 {
				g.says(`Err: context canceled, true, false\. Cause: ` + cause.Error() + `\.`)
			}
			Expect(call(background, "answer")).To(Equal("<nil> <nil>"), "the worker lives on")
		}
	},
		Entry("cancelled", false, context.Canceled), Entry("cancelled with a cause", false, errEnough),
		Entry("past its deadline", true, context.DeadlineExceeded), Entry("ended in its own way", true, errEnough))

	It("end at the deadline", func() {
		for limit := 20 * time.Millisecond; ; limit *= 2 {
			g := newGate()
			err := errorOf(obedient.Call(within(limit, errEnough), "return", g.options(ofGrace(time.Hour))...))
			Expect(err).To(Or(BeNil(), MatchError(errEnough)), "an answer that is there counts")
			if g.said("began") > 0 {
				g.says(`Err: context deadline exceeded, false, true\. Cause: context deadline exceeded\.`)
				break
			}
		}
	})

	It("have the parent's deadline, and end by themselves then", func() {
		future := time.Now().Add(time.Hour)
		for _, call := range bothCalls(deadline) {
			Expect(call(background, struct{}{})).To(BeNil())
			Expect(call(deadContext{background, future}, struct{}{})).To(HaveValue(BeTemporally("==", future)))
			Expect(call(deadContext{background, time.Now().Add(-time.Hour)}, struct{}{})).Error().To(MatchError(context.DeadlineExceeded))
			Expect(call(deadContext{background, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, struct{}{})).To(
				HaveValue(BeTemporally(">", time.Now().AddDate(100, 0, 0))))
		}
	})

	Context("of a worker's call", func() {
		It("end it at once, and the worker lives on if the function returns in time", func() {
			g, w := gated(obedient, ofGrace(time.Hour))
			child := w.PID()
			for range 3 {
				Expect(cancelled(g, w.Call, "stay")).To(MatchError(`gons/reexec: function "obedient": call was cancelled, reason: enough is enough`))
				g.says("stays")
				g.pass(1)
				Expect(w.Call(background, "answer")).To(Equal("<nil> <nil>"))
			}
			Expect(w.PID()).To(Equal(child))
			Expect(w.Err()).To(Succeed())
			Expect(w.Close()).To(Succeed())
		})

		It("have the child killed if the function does not return in time", func() {
			g, w := gated(obedient, ofGrace(50*time.Millisecond))
			begin := time.Now()
			_ = cancelled(g, w.Call, "stay")
			g.says("stays")
			Eventually(w.Done()).Should(BeClosed())
			Expect(time.Since(begin)).To(BeNumerically(">=", 50*time.Millisecond))
			Expect(w.Err()).To(MatchError(errEnough))
			Expect(w.Call(background, "answer")).Error().To(And(MatchError(errEnough), MatchError(ContainSubstring("child was killed"))))
			Expect(w.Close()).To(Succeed(), "a call has told")
		})

		It("do not end other calls", func() {
			g, w := gated(obedient, ofGrace(time.Hour), reexec.Concurrency(2))
			other := goCall(w.Call, background, "hold")
			g.says("began")
			_ = cancelled(g, w.Call, "return")
			g.says("Cause: enough is enough")
			g.pass(1)
			Expect(end(other)).To(Equal("<nil>"))
			Expect(w.Close()).To(Succeed())
		})

		It("kill the child, and whatever it is serving, if the function knows no context", func() {
			g, w := gated(hang, ofGrace(time.Hour), reexec.Concurrency(2))
			other := goCall(w.Call, background, "hang")
			g.says("hanging")
			asActionError(cancelled(g, w.Call, "hang"))
			Expect(asActionError(errorOf(end(other)))).To(MatchError(errEnough))
			Expect(isOver(w.Done())).To(BeTrue())
			Expect(w.Close()).To(Succeed())
		})
	})

	Context("of a one-shot call", func() {
		It("give its function the grace period, and its error is wrapped", func() {
			g := newGate()
			err := cancelled(g, called(obedient, g.options(ofGrace(time.Hour))...), "fail")
			Expect(as[*reexec.FuncError](asActionError(err))).To(MatchError("my own: context canceled"))
			Expect(children()).To(BeEmpty(), "Call has waited for the end")
		})

		It("drop a late result", func() {
			g := newGate()
			ctx, cancel := context.WithCancelCause(background)
			done := goCall(called(obedient, g.options(ofGrace(time.Hour))...), ctx, "stay")
			g.says("began")
			cancel(errEnough)
			g.says("stays")
			Consistently(done, "50ms").ShouldNot(Receive(), "Call waits for the end of its child")
			g.pass(1)
			result, err := end(done)
			Expect(result).To(BeEmpty())
			Expect(err).To(MatchError(errEnough))
			Expect(errors.As(err, new(*reexec.FuncError))).To(BeFalse())
		})

		It("tell also of the end of a child that did not return", func() {
			g := newGate()
			Expect(exitCode(cancelled(g, called(obedient, g.options(ofGrace(time.Hour))...), "exit"))).To(Equal(3))
		})

		It("kill it after the grace period", func() {
			g := newGate()
			begin := time.Now()
			err := cancelled(g, called(obedient, g.options(ofGrace(50*time.Millisecond))...), "stay")
			Expect(time.Since(begin)).To(BeNumerically(">=", 50*time.Millisecond))
			Expect(err).To(MatchError(ContainSubstring("child was killed")))
			as[*exec.ExitError](err)
			Expect(children()).To(BeEmpty())
		})

		It("kill it at once if it knows no context", func() {
			g := newGate()
			_ = cancelled(g, called(hang, g.options(ofGrace(time.Hour))...), "hang")
		})
	})

	It("do not outlive that of Start, whose end kills the child", func() {
		g := newGate()
		ctx, cancel := context.WithCancelCause(background)
		w := must(obedient.Start(ctx, g.options(ofGrace(time.Hour))...))
		done := goCall(w.Call, background, "stay")
		g.says("began")
		cancel(errEnough)
		Expect(end(done)).Error().To(MatchError(errEnough))
		Expect(w.Err()).To(MatchError(errEnough))
		Expect(g.said("Err:")).To(BeZero(), "it was killed, not cancelled")
		Expect(w.Close()).To(Succeed())
	})

	Context("of calls that Close meets", func() {
		It("are not cancelled, and the calls end in time", func() {
			g, w := gated(obedient, ofGrace(time.Hour))
			done := goCall(w.Call, background, "hold")
			g.says("began")
			closed := inBackground(w.Close)
			Eventually(func() error { return errorOf(w.Call(background, "answer")) }).Should(MatchError(os.ErrClosed), "Close has begun")
			Expect(closed).NotTo(Receive())
			g.pass(1)
			Expect(end(done)).To(Equal("<nil>"), "its context")
			Eventually(closed).Should(Receive(BeNil()))
			Expect(w.Err()).To(Succeed())
		})

		It("do not keep it for longer than the grace period", func() {
			g, w := gated(obedient, ofGrace(50*time.Millisecond))
			done := goCall(w.Call, background, "hold")
			g.says("began")
			begin := time.Now()
			Expect(w.Close()).To(Succeed())
			Expect(time.Since(begin)).To(BeNumerically(">=", 50*time.Millisecond))
			Expect(end(done)).Error().To(MatchError(os.ErrClosed))
			Expect(g.said("Err:")).To(BeZero())
		})
	})

	It("are cancelled when the parent is killed, and the child ends after the grace period", func() {
		for _, how := range []string{"return", "stay", "yield"} {
			r, w := pipe()
			forever, _ := pipe()
			parent := specs.Child("parent to be killed", how)
			parent.ExtraFiles = []*os.File{w, forever}
			Expect(parent.Start()).To(Succeed())
			Expect(w.Close()).To(Succeed())
			says := bufio.NewScanner(r)
			for range 2 {
				Expect(says.Scan()).To(BeTrue())
				Expect(says.Text()).To(Equal("began"))
			}
			begin := time.Now()
			Expect(parent.Process.Kill()).To(Succeed())
			_ = parent.Wait()
			told := 0
			for says.Scan() { // until the child has ended
				if says.Text() == "Err: context canceled, true, false. Cause: parent process has ended." {
					told++
				}
			}
			Expect(told).To(Equal(8))
			if how == "stay" {
				Expect(time.Since(begin)).To(BeNumerically(">=", killedParentGrace))
			}
		}
	})

	DescribeTable("have their end remembered in a function's error, as is what else is known on both sides",
		func(kind string, is ...error) {
			for _, by := range ways[string, int]() {
				_, err := by(failKind, kind)
				Expect(as[*reexec.FuncError](err).Message).To(Equal("kind: " + failKinds[kind].Error()))
				for _, target := range []error{context.Canceled, context.DeadlineExceeded, os.ErrClosed, syscall.EBUSY, fs.ErrNotExist} {
					Expect(errors.Is(err, target)).To(Equal(slices.Contains(is, target)), "%v", target)
				}
			}
		},
		Entry(nil, "canceled", context.Canceled), Entry(nil, "deadline", context.DeadlineExceeded),
		Entry(nil, "closed", os.ErrClosed),
		Entry(nil, "several", context.Canceled, context.DeadlineExceeded, os.ErrClosed, syscall.EBUSY),
		Entry(nil, "two", syscall.EBUSY, fs.ErrNotExist), Entry(nil, "not there", fs.ErrNotExist), Entry(nil, "none"))

	It("may be told of by the function sooner than by the parent", func() {
		_, err := failKind.Call(deadContext{background, time.Now().Add(-time.Second)}, "deadline")
		Expect(err).To(MatchError(context.DeadlineExceeded))
		Expect(errors.As(err, new(*reexec.FuncError))).To(BeTrue())
	})

	It("are those of functions that there are", func() {
		Expect(func() { reexec.RegisterFuncContext[int, int]("no function with context", nil) }).To(Panic())
	})
})

// failKinds are errors that are to be recognised in the parent.
var failKinds = map[string]error{
	"canceled":  context.Canceled,
	"deadline":  fmt.Errorf("wrapped: %w", context.DeadlineExceeded),
	"closed":    &fs.PathError{Op: "read", Path: "x", Err: os.ErrClosed},
	"several":   errors.Join(context.Canceled, context.DeadlineExceeded, os.ErrClosed, syscall.EBUSY),
	"two":       errors.Join(syscall.EBUSY, syscall.ENOENT),
	"not there": fs.ErrNotExist,
	"none":      errors.New("none of them"),
}

var failKind = reexec.RegisterFunc("fail in a kind of way", func(kind string) (int, error) {
	return 0, fmt.Errorf("kind: %w", failKinds[kind])
})

const killedParentGrace = 300 * time.Millisecond

func init() { specs.Roles["parent to be killed"] = asParent(beKilledParent) }

// beKilledParent is the main function of a parent that has two calls served, and is to be
// killed. It hands down its file 3 as stderr and its file 4 as the gate.
func beKilledParent(args []string) {
	how, grace := args[0], time.Hour
	if how == "stay" {
		grace = killedParentGrace
	}
	options := []option{
		reexec.GracePeriod(grace),
		withFiles(os.NewFile(4, "gate"), os.NewFile(3, "says")),
		reexec.Environment([]string{stderrTo4Var + "=yes"}),
	}
	call := func() { _, _ = all(obedientStream.Call(background, struct{}{}, options...)) }
	if how != "yield" {
		w := must(obedient.Start(background, append(options, reexec.Concurrency(2))...))
		call = func() { _, _ = w.Call(background, how) }
	}
	for range 2 {
		go call()
	}
	select {}
}

// stderrTo4Var has the test binary's stderr be its file 4.
const stderrTo4Var = "reexec_test_stderr_to_4"

func init() {
	if os.Getenv(stderrTo4Var) != "" {
		_ = os.Unsetenv(stderrTo4Var)
		syscall.CloseOnExec(4)
		os.Stderr = os.NewFile(4, "stderr")
	}
}
