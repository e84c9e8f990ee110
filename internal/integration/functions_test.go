package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var (
	double    = reexec.RegisterFunc("double", func(n int) (int, error) { return 2 * n, nil })
	reflect   = reexec.RegisterFunc("reflect", func(s string) (string, error) { return s, nil })
	getenv    = reexec.RegisterFunc("getenv", func(name string) (string, error) { return os.Getenv(name), nil })
	pid       = reexec.RegisterFunc("pid", func(struct{}) (int, error) { return os.Getpid(), nil })
	fail      = reexec.RegisterFunc("fail with", func(text string) (int, error) { return 0, errors.New(text) })
	open      = reexec.RegisterFunc("open", func(path string) (int, error) { _, err := os.Open(path); return 0, err })
	panicking = reexec.RegisterFunc("panicking", func(value string) (int, error) { panic(value) })
	goexit    = reexec.RegisterFunc("goexit", func(struct{}) (int, error) { runtime.Goexit(); return 0, nil })
	leaving   = reexec.RegisterFunc("leaving", func(struct{}) (int, error) {
		fmt.Fprint(os.Stderr, leaveDescendant())
		os.Exit(3)
		return 0, nil
	})
	exit = reexec.RegisterFunc("exit", func(code int) (int, error) {
		fmt.Fprint(os.Stderr, "last words")
		os.Exit(code)
		return 0, nil
	})
	hang = reexec.RegisterFunc("hang in there", func(text string) (string, error) {
		if text == "hang" {
			fmt.Fprint(os.Stderr, "hanging")
			time.Sleep(time.Hour)
		}
		return text, nil
	})
	unfit = reexec.RegisterFunc("unfit", func(kind any) (any, error) {
		if kind == "bad" {
			return make(chan int), nil
		}
		return kind, nil
	})
	picky  = reexec.RegisterFunc("picky", func(w wild) (string, error) { return string(w), nil })
	wildly = reexec.RegisterFunc("wildly", func(s string) (wild, error) { return wild(s), nil })
	again  = reexec.RegisterFunc("again", func(struct{}) (int, error) { return double.Call(context.Background(), 1) })
)

// A wild value may do in its encoder, or in its decoder, what must be tamed there.
type wild string

func (w wild) MarshalJSON() ([]byte, error) {
	switch w {
	case "encoder panics":
		panic("encoder")
	case "encoder ends":
		runtime.Goexit()
	case "encoder fails":
		return nil, errors.New("encoder failed")
	case "encoder misfits":
		return []byte(`[]`), nil
	}
	return json.Marshal(string(w))
}

func (w *wild) UnmarshalJSON(b []byte) error {
	err := json.Unmarshal(b, (*string)(w))
	switch *w {
	case "decoder panics":
		panic("decoder")
	case "decoder ends":
		runtime.Goexit()
	case "decoder fails":
		err = errors.New("decoder failed")
	case "decoder betrays":
		betray()
		err = errors.New("no such value")
	}
	return err
}

// betray is what the decoder of a wild value does that betrays.
var betray func()

// background is the context of all calls that no spec cancels.
var background = context.Background()

// capture returns what f has written to the stdout and stderr of this process.
func capture(f func()) (stdout, stderr string) {
	GinkgoHelper()
	oldOut, oldErr := os.Stdout, os.Stderr
	defer func() { os.Stdout, os.Stderr = oldOut, oldErr }()
	var all sync.WaitGroup
	redirect := func(text *string) *os.File {
		r, w := pipe()
		all.Go(func() {
			b, _ := io.ReadAll(r)
			*text = string(b)
		})
		return w
	}
	os.Stdout, os.Stderr = redirect(&stdout), redirect(&stderr)
	f()
	_ = os.Stdout.Close()
	_ = os.Stderr.Close()
	all.Wait()
	return stdout, stderr
}

// A way to call a function: alone, or by a worker.
type way[P, R any] func(f reexec.Func[P, R], param P, options ...option) (R, error)

func byCall[P, R any](f reexec.Func[P, R], param P, options ...option) (R, error) {
	return f.Call(background, param, options...)
}

func byWorker[P, R any](f reexec.Func[P, R], param P, options ...option) (R, error) {
	w, err := f.Start(background, options...)
	if err != nil {
		var none R
		return none, err
	}
	defer w.Close()
	return w.Call(background, param)
}

func ways[P, R any]() []way[P, R] { return []way[P, R]{byCall[P, R], byWorker[P, R]} }

var _ = Describe("functions", func() {
	DescribeTable("carry values of any size", func(size int) {
		param := strings.Repeat("x", size)
		for _, by := range ways[string, string]() {
			Expect(must(by(reflect, param)) == param).To(BeTrue())
		}
	},
		Entry(nil, 0), Entry(nil, 1<<16-2), Entry(nil, 1<<16), Entry(nil, 8<<20))

	It("take options", func() {
		GinkgoT().Setenv("reexec_test", "1")
		env := reexec.Environment([]string{"reexec_test=2"})
		for _, by := range ways[string, string]() {
			Expect(by(getenv, "reexec_test", env)).To(Equal("2"))
			Expect(by(getenv, "gons_reexec_fd_answers", env)).To(BeEmpty())
		}
	})

	It("return errors", func() {
		for _, by := range ways[string, int]() {
			_, err := by(fail, "no luck")
			Expect(err).To(MatchError("no luck"))
			failed := as[*reexec.FuncError](err)
			Expect(failed).To(And(HaveField("Func", "fail with"), HaveField("Message", "no luck")))
			Expect(errors.Unwrap(failed)).To(BeNil())
		}
	})

	It("return errors of system calls", func() {
		_, here := os.Open("/nowhere")
		for _, by := range ways[string, int]() {
			_, err := by(open, "/nowhere")
			Expect(err).To(And(MatchError(here.Error()), MatchError(fs.ErrNotExist), MatchError(as[syscall.Errno](here))))
			Expect(err).NotTo(MatchError(fs.ErrPermission))
		}
	})

	It("report panics", func() {
		for _, by := range ways[string, int]() {
			_, err := by(panicking, "at the disco")
			panicked := as[*reexec.PanicError](err)
			Expect(panicked).To(And(HaveField("Func", "panicking"), HaveField("Value", "at the disco")))
			Expect(string(panicked.Stack)).To(ContainSubstring("functions_test.go"))
			Expect(err).To(MatchError(`gons/reexec: function "panicking" panicked: at the disco`))
		}
	})

	It("report a goroutine that ends without an answer", func() {
		for _, by := range ways[struct{}, int]() {
			Expect(as[*reexec.PanicError](errorOf(by(goexit, struct{}{}))).Value).To(Equal("runtime.Goexit was called"))
		}
	})

	It("report the child's end", func() {
		for _, by := range ways[int, int]() {
			for _, code := range []int{0, 3} {
				_, err := by(exit, code, reexec.Stderr(io.Discard))
				Expect(exitCode(err)).To(Equal(code))
				Expect(asActionError(err)).To(And(HaveField("Action", "exit"), HaveField("Stderr", "last words")))
				Expect(err).To(MatchError(ContainSubstring("exit status %d", code)))
			}
		}
	})

	It("report a function that the child does not know", func() {
		unknown := reexec.RegisterFunc("registered too late", func(int) (int, error) { return 0, nil })
		stdout, stderr := capture(func() {
			Expect(asActionError(errorOf(unknown.Call(background, 1)))).To(MatchError(ContainSubstring(`unregistered gons/reexec re-execution action "registered too late"`)))
		})
		Expect(stdout + stderr).To(BeEmpty())
	})

	It("report what cannot travel", func() {
		for _, call := range bothCalls(unfit) {
			Expect(asActionError(errorOf(call(background, "bad")))).To(MatchError(ContainSubstring("cannot encode result in child, reason: chan int in an interface cannot travel")))
			Expect(call(background, "good")).To(Equal("good"), "the worker is still there")
		}
		Expect(asActionError(errorOf(unfit.Call(background, make(chan int))))).To(MatchError(ContainSubstring("cannot send parameter to child, reason: chan int in an interface cannot travel")))
		for _, by := range ways[wild, string]() {
			Expect(by(picky, "decoder fails")).Error().To(And(MatchError(reexec.ErrNotStarted),
				MatchError(ContainSubstring("cannot decode parameter in child, reason: decoder failed"))))
		}
		for _, by := range ways[string, wild]() {
			Expect(by(wildly, "tame")).To(BeEquivalentTo("tame"))
			_, err := by(wildly, "encoder misfits")
			as[*json.UnmarshalTypeError](asActionError(err))
			Expect(err).To(MatchError(ContainSubstring("cannot decode child result")))
		}
	})

	It("obey contexts", func() {
		ctx, cancel := context.WithCancelCause(background)
		err := errorOf(hang.Call(ctx, "hang", onStderr(func(string) { cancel(errEnough) })))
		Expect(asActionError(err)).To(MatchError(errEnough))
		Expect(hang.Call(ctx, "do not")).Error().To(MatchError(errEnough))
		Expect(hang.Start(ctx)).Error().To(MatchError(errEnough))
	})

	It("do not fail since the parent cannot print what they print", func() {
		defer func(old *os.File) { os.Stderr = old }(os.Stderr)
		os.Stderr = must(os.Open("/dev/null")) // which is not for writing
		defer os.Stderr.Close()
		Expect(slow.Call(background, 1)).To(Equal(1))
	})

	It("cannot be called in a child", func() {
		Expect(as[*reexec.PanicError](errorOf(again.Call(background, struct{}{}))).Value).To(ContainSubstring("tried to re-execute in already re-executing child process"))
	})

	It("cannot be run like other actions", func() {
		Expect(reexec.RunReexecAction("double")).To(MatchError(ContainSubstring("must be called with Func.Call")))
	})

	It("share their names with actions", func() {
		fn := func(int) (int, error) { return 0, nil }
		Expect(func() { reexec.RegisterFunc("answer", fn) }).To(PanicWith(
			`gons/reexec: registerAction: re-execution action "answer" already registered`))
		Expect(func() { reexec.Register("double", func() {}) }).To(Panic())
		Expect(func() { reexec.RegisterFunc("", fn) }).To(Panic())
		Expect(func() { reexec.RegisterFunc[int, int]("no function", nil) }).To(Panic())
	})

	It("panic if they are used wrongly", func() {
		expectPanics := func(f reexec.Func[int, int], ctx context.Context, message any, options ...option) {
			GinkgoHelper()
			Expect(func() { _, _ = f.Call(ctx, 1, options...) }).To(PanicWith(message))
			Expect(func() { _, _ = f.Start(ctx, options...) }).To(PanicWith(message))
		}
		expectPanics(reexec.Func[int, int]{}, background, ContainSubstring("zero Func"))
		expectPanics(double, noContext, "nil Context")
		for _, option := range []option{reexec.Param(1), reexec.Result(new(int))} {
			expectPanics(double, background, ContainSubstring(`function "double" takes neither the option Param nor the option Result`), option)
		}
		expectPanics(double, background, ContainSubstring("nil option"), nil)
	})
})

var _ = Describe("workers", func() {
	It("serve all calls with one process", func() {
		w := must(pid.Start(background))
		first := must(w.Call(background, struct{}{}))
		for range 100 {
			Expect(w.Call(background, struct{}{})).To(Equal(first))
		}
		Expect(w.Close()).To(Succeed())
		Expect(alive(first)).NotTo(Succeed())
	})

	It("survive errors", func() {
		w := must(open.Start(background))
		Expect(w.Call(background, "/nowhere")).Error().To(MatchError(fs.ErrNotExist))
		Expect(w.Call(background, "/dev/null")).To(Equal(0))
		Expect(w.Close()).To(Succeed())
	})

	It("are gone after a panic", func() {
		w := must(panicking.Start(background))
		for range 3 {
			as[*reexec.PanicError](errorOf(w.Call(background, "at the disco")))
		}
		Expect(children()).To(BeEmpty())
		Expect(w.Close()).To(Succeed())
		Expect(w.Call(background, "")).Error().To(MatchError(os.ErrClosed))
	})

	It("tell of a death that happens while they are closed", func() {
		for i := range 10 {
			dying := make(chan struct{}, 1)
			w := must(leaving.Start(background, reexec.GracePeriod(20*time.Millisecond), onStderr(func(string) { dying <- struct{}{} })))
			done := inBackground(func() error { return errorOf(w.Call(background, struct{}{})) })
			<-dying
			time.Sleep(time.Duration(i) * time.Millisecond)
			Expect(w.Close()).To(Or(Succeed(), MatchError(os.ErrClosed)))
			err := <-done
			if !errors.Is(err, os.ErrClosed) {
				Expect(exitCode(err)).To(Equal(3))
				Expect(err).To(MatchError(ContainSubstring("exit status 3")))
			}
			_ = kill(atoi(asActionError(err).Stderr))
		}
	})

	It("are closed, whatever the parameter", func() {
		w := must(unfit.Start(background))
		Expect(w.Close()).To(Succeed())
		Expect(w.Call(background, make(chan int))).Error().To(MatchError(os.ErrClosed))
	})

	It("are closed without grace", func() {
		for range often(20) {
			w := must(double.Start(background, reexec.GracePeriod(0)))
			Expect(w.Call(background, 1)).To(Equal(2))
			Expect(w.Close()).To(Succeed())
		}
	})

	It("are gone after their death", func() {
		w := must(exit.Start(background, reexec.Stderr(io.Discard)))
		for range 3 {
			Expect(exitCode(errorOf(w.Call(background, 3)))).To(Equal(3))
		}
		Expect(w.Close()).To(Succeed())
	})

	It("notice that they have been killed", func() {
		for _, called := range []bool{true, false} {
			w := must(pid.Start(background))
			Expect(kill(must(w.Call(background, struct{}{})))).To(Succeed())
			Eventually(w.Done()).Should(BeClosed())
			Expect(children()).To(BeEmpty())
			if called {
				Expect(w.Call(background, struct{}{})).Error().To(MatchError(ContainSubstring(textOfKilled())))
				Expect(w.Close()).To(Succeed())
			} else {
				err := w.Close()
				Expect(err).To(MatchError(ContainSubstring(textOfKilled())), "no call has told")
				Expect(w.Close()).To(Equal(err))
			}
		}
	})

	It("are gone after a cancelled call, but not after one that was cancelled before", func() {
		ctx, cancel := context.WithCancelCause(background)
		w := must(hang.Start(background, onStderr(func(string) { cancel(errEnough) })))
		done, cancelled := context.WithCancelCause(background)
		cancelled(errEnough)
		Expect(w.Call(done, "do not")).Error().To(MatchError(errEnough))
		Expect(w.Call(background, "do not")).To(Equal("do not"))
		Expect(asActionError(errorOf(w.Call(ctx, "hang")))).To(MatchError(errEnough))
		Expect(w.Call(background, "do not")).Error().To(MatchError(errEnough))
		Expect(w.Close()).To(Succeed())
	})

	It("do not outlive the context of Start", func() {
		ctx, cancel := context.WithCancelCause(background)
		w := must(double.Start(ctx))
		Expect(w.Call(background, 1)).To(Equal(2))
		cancel(errEnough)
		Eventually(w.Done()).Should(BeClosed())
		Expect(children()).To(BeEmpty())
		for range 2 {
			Expect(w.Call(background, 1)).Error().To(MatchError(errEnough))
		}
		Expect(w.Close()).To(Succeed())
	})

	It("are started concurrently", func() {
		together(20, func(i int) error {
			w, err := double.Start(background)
			if err != nil {
				return err
			}
			return errors.Join(errorOf(w.Call(background, 1)), w.Close())
		})
	})

	It("panic if they are used wrongly", func() {
		var zero reexec.Worker[int, int]
		Expect(func() { _, _ = zero.Call(background, 1) }).To(PanicWith(ContainSubstring("zero Worker")))
		Expect(func() { _ = zero.Close() }).To(PanicWith(ContainSubstring("zero Worker")))
		w := must(double.Start(background))
		defer w.Close()
		Expect(func() { _, _ = w.Call(noContext, 1) }).To(PanicWith("nil Context"))
	})
})

var slow = reexec.RegisterFunc("slow", func(ms int) (int, error) {
	fmt.Fprint(os.Stderr, "began")
	time.Sleep(time.Duration(ms) * time.Millisecond)
	return ms, nil
})
