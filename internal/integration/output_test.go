package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"
)

// exitCode returns the exit code that an error tells of, or -1.
func exitCode(err error) int {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

var _ = Describe("what flows between parent and child", func() {
	const failed = `gons/reexec: ReexecAction.Run: child failed with stderr message "failed"`

	Context("parameter", func() {
		It("ends with end of file", func() { Expect(run[int]("read all", reexec.Param("abc"))).To(Equal(len(`"abc"` + "\n"))) })

		DescribeTable("may be of any size", func(size int) {
			param := strings.Repeat("x", size)
			Expect(must(run[string]("echo", reexec.Param(param))) == param).To(BeTrue())
		},
			Entry("small", 10), Entry("just as large as a pipe", 1<<16-3), Entry("a bit larger than a pipe", 1<<16-2),
			Entry("8 MiB", 8<<20))

		It("may meet an action that writes before it reads", func() {
			Expect(run[string]("write, then read", reexec.Param(strings.Repeat("y", 1<<20)))).To(HaveLen(1 << 20))
		})

		It("may be left unread", func() {
			large := reexec.Param(strings.Repeat("x", 4<<20))
			Expect(run[string]("answer", large)).To(Equal("done"))
			Expect(reexec.RunReexecAction("answer", large)).To(Succeed())
		})

		It("is told about if the action left it unread and failed", func() {
			err := reexec.RunReexecAction("big failure", reexec.Param(strings.Repeat("x", 4<<20)))
			Expect(err).To(MatchError(HavePrefix("gons/reexec: ReexecAction.Run: cannot send parameter to child, reason: ")))
			Expect(err).To(And(MatchError(syscall.EPIPE), MatchError(ContainSubstring(`child failed with stderr message "failed\n`))))
		})

		It("is not to blame for the failure of a child that leaves a small one unread", func() {
			for range often(50) {
				err := reexec.RunReexecAction("status", reexec.Param(strings.Repeat("x", 1<<15)))
				Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child failed, reason: exit status 3"))
			}
		})

		It("must be fit for JSON, or else no child is started", func() {
			never := filepath.Join(GinkgoT().TempDir(), "never")
			err := reexec.RunReexecAction("touch", reexec.Param([]any{never, make(chan int)}))
			Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: cannot send parameter to child, reason: json: unsupported type: chan int"))
			as[*json.UnsupportedTypeError](err)
			Expect(never).NotTo(BeAnExistingFile())
		})
	})

	Context("answer", func() {
		It("is dropped if nobody wants it", func() {
			for _, action := range []string{"answer", "garbage", "noise", "silent"} {
				Expect(reexec.RunReexecAction(action)).To(Succeed())
			}
		})

		It("is just the first value", func() { Expect(run[string]("more")).To(Equal("done")) })

		It("may be null", func() {
			answer := []string{"not", "nil"}
			Expect(reexec.RunReexecAction("null", reexec.Result(&answer))).To(Succeed())
			Expect(answer).To(BeNil())
		})

		It("is shown if it cannot be decoded", func() {
			_, err := run[string]("garbage")
			Expect(err).To(MatchError(And(HavePrefix("gons/reexec: ReexecAction.Run: cannot decode child result, reason: "+
				"invalid character 'd' looking for beginning of value"), ContainSubstring(`"done\n"`))))
			as[*json.SyntaxError](err)
		})

		It("is shortened if it is long", func() {
			_, err := run[int]("noise")
			Expect(err).To(MatchError(And(ContainSubstring("noisenoise"), ContainSubstring("left out"))))
			Expect(len(err.Error())).To(BeNumerically("<", 1000))
		})

		It("is missed", func() {
			Expect(run[string]("silent")).Error().To(And(MatchError(io.EOF),
				MatchError(HavePrefix("gons/reexec: ReexecAction.Run: cannot decode child result, reason: EOF"))))
		})

		It("must fit", func() {
			as[*json.UnmarshalTypeError](errorOf(run[int]("answer")))
		})

		It("ends the child after the grace period", func() {
			short := reexec.GracePeriod(50 * time.Millisecond)
			Expect(run[string]("linger", short)).To(Equal("done"))
			Expect(run[string]("linger, garbage", short)).Error().To(MatchError(ContainSubstring("cannot decode child result")))
		})
	})

	Context("stderr", func() {
		It("is a failure, even beside an answer", func() {
			answer, err := run[string]("fail")
			Expect(err).To(MatchError(failed))
			Expect(answer).To(Equal("done"))
		})

		It("comes before the answer and the exit status", func() {
			_, err := run[string]("status and stderr")
			Expect(err).To(And(MatchError(failed), MatchError(io.EOF)))
			Expect(exitCode(err)).To(Equal(3))
		})

		It("tells of a panic", func() {
			Expect(reexec.RunReexecAction("panic")).To(MatchError(And(ContainSubstring("at the disco"), ContainSubstring("goroutine 1"))))
		})

		// One run loses nothing, usually; so there are many, from many goroutines.
		It("is never lost", func() {
			together(8, func(int) error {
				for range often(20) {
					_, err := run[string]("big failure", reexec.Param("x"))
					var failed *reexec.ActionError
					if !errors.As(err, &failed) || failed.Stderr != bigFailure || exitCode(err) != 1 ||
						!strings.HasPrefix(err.Error(), "gons/reexec: ReexecAction.Run: child failed with stderr message") {
						return fmt.Errorf("wrong failure: %w", err)
					}
				}
				return nil
			})
		})

		It("is not lost either if the parent has no time to read it", func() {
			for range often(50) { // without grace all limits have passed before anything is read
				err := reexec.RunReexecAction("big failure", reexec.GracePeriod(0))
				Expect(as[*reexec.ActionError](err).Stderr).To(Equal(bigFailure))
			}
		})

		It("is kept in bounded memory", func() {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := reexec.RunReexecAction("huge failure")
			runtime.ReadMemStats(&after)
			Expect(err).To(MatchError(And(ContainSubstring(`stderr message "BEGINxxx`),
				MatchRegexp(`\[\.\.\. \d+ bytes left out \.\.\.\]`), HaveSuffix(`xxxEND"`))))
			Expect(after.TotalAlloc - before.TotalAlloc).To(BeNumerically("<", 4<<20))
		})
	})

	It("reports an exit status", func() {
		Expect(exitCode(reexec.RunReexecAction("status"))).To(Equal(3))
		answer, err := run[string]("status and answer")
		Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child failed, reason: exit status 3"))
		Expect(answer).To(Equal("done"))
		_, err = run[string]("status")
		Expect(err).To(MatchError(HavePrefix("gons/reexec: ReexecAction.Run: cannot decode child result, reason: EOF")))
		Expect(exitCode(err)).To(Equal(3))
	})

	It("does not wait for descendants that keep the pipes", func() {
		descendant := must(run[int]("leave descendant", reexec.GracePeriod(100*time.Millisecond)))
		DeferCleanup(kill, descendant)
		Expect(alive(descendant)).To(Succeed(), "it is still there")
		Expect(children()).To(BeEmpty())
	})

	It("runs any number of actions at a time", func() {
		together(often(400), func(i int) error {
			answer, err := run[int]("echo", reexec.Param(i))
			if err == nil && answer != i {
				err = errors.New("wrong answer")
			}
			return err
		})
	})

	It("returns an error if the child cannot be executed", func() {
		err := reexec.RunReexecAction("answer", reexec.Cmd(func(cmd *exec.Cmd) { cmd.Dir = "/nowhere" }))
		Expect(err).To(And(MatchError(fs.ErrNotExist), MatchError(HavePrefix("gons/reexec: ReexecAction.Run: cannot start child, reason: "))))
		Expect(err).To(MatchError(HaveSuffix("no such file or directory")), "which is not to blame on /proc")
	})
})

// A blockingWriter takes nothing until the end of its spec.
type blockingWriter struct {
	entered func()
	Blocks  chan struct{} // closed once it blocks
	release chan struct{}
}

func newBlockingWriter() *blockingWriter {
	w := &blockingWriter{Blocks: make(chan struct{}), release: make(chan struct{})}
	w.entered = sync.OnceFunc(func() { close(w.Blocks) })
	DeferCleanup(func() { close(w.release) })
	return w
}

func (w *blockingWriter) Write(b []byte) (int, error) {
	w.entered()
	<-w.release
	return len(b), nil
}

// fill fills a pipe, so that whoever writes to it blocks.
func fill(w *os.File) {
	GinkgoHelper()
	Expect(w.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))).To(Succeed())
	for _, size := range []int{1 << 16, 1} { // to the last byte
		for {
			if _, err := w.Write(make([]byte, size)); err != nil {
				Expect(err).To(MatchError(os.ErrDeadlineExceeded))
				break
			}
		}
	}
	Expect(w.SetWriteDeadline(time.Time{})).To(Succeed())
}

// blockStderr has this process's os.Stderr block until the end of the spec.
func blockStderr() {
	GinkgoHelper()
	r, w := pipe()
	fill(w)
	old, goroutines := os.Stderr, gleak.Goroutines()
	os.Stderr = w
	DeferCleanup(func() {
		_, _ = r.Close(), w.Close()
		Eventually(gleak.Goroutines).ShouldNot(gleak.HaveLeaked(goroutines)) // such as one that writes to stderr
		os.Stderr = old
	})
}

// say writes so many bytes to stderr, and then answers how many.
var say = reexec.RegisterFunc("say", func(bytes int) (int, error) {
	_, err := fmt.Fprintln(os.Stderr, strings.Repeat("x", bytes-1))
	return bytes, err
})

// sayText writes the beginning of a text to stderr, and then answers how long that is.
var sayText = reexec.RegisterFunc("say text", func(text string) (int, error) { return fmt.Fprint(os.Stderr, text[:100]) })

// sayLater writes to stderr some time after it has answered.
var sayLater = reexec.RegisterFunc("say later", func(struct{}) (struct{}, error) {
	time.AfterFunc(100*time.Millisecond, func() { fmt.Fprintln(os.Stderr, "later") })
	return struct{}{}, nil
})

// sayAndEnd says something, and then ends its process in some way.
var sayAndEnd = reexec.RegisterFunc("say and end", func(how string) (string, error) {
	switch how {
	case "wait":
		time.Sleep(time.Hour)
	case "panic":
		fmt.Fprintln(os.Stderr, "panicking")
		panic("goes out")
	}
	fmt.Fprintln(os.Stderr, "ending")
	os.Exit(atoi(how))
	return "", nil
})

// hangInContext says something, and does not return before its context ends.
var hangInContext = reexec.RegisterFuncContext("hang in context", func(ctx context.Context, s string) (string, error) {
	fmt.Fprintln(os.Stderr, "hanging")
	<-ctx.Done()
	return s, ctx.Err()
})

// clamour yields an event, says something, and does not return before its context ends.
var clamour = reexec.RegisterStream("clamour", func(ctx context.Context, _ struct{}, yield func(int) bool) error {
	yield(1)
	fmt.Fprintln(os.Stderr, "noise")
	<-ctx.Done()
	return ctx.Err()
})

// chatter yields until nobody wants that, and then writes so many bytes to stderr.
var chatter = reexec.RegisterStream("chatter", func(ctx context.Context, bytes int, yield func(int) bool) error {
	for yield(1) {
	}
	_, err := os.Stderr.Write(make([]byte, bytes))
	return err
})

func init() {
	reexec.Register("say, then hang", func() { fmt.Fprintln(os.Stderr, "hanging"); time.Sleep(time.Hour) })
	reexec.Register("say much", func() {
		fmt.Fprintln(os.Stderr, strings.Repeat("x", 1<<20))
		answer("done")
	})
}

var _ = Describe("a writer of stderr", func() {
	Context("that blocks", func() {
		hour := reexec.GracePeriod(time.Hour)

		var over context.Context // ends with the spec

		BeforeEach(func() {
			ctx, cancel := context.WithCancel(background)
			DeferCleanup(cancel)
			over = ctx
		})

		// Each runs something that writes to stderr, until ctx is done, and tells when it begins with that.
		type runner func(ctx context.Context, begins func(), options ...option) error
		at := func(run func(ctx context.Context, options ...option) error) runner {
			return func(ctx context.Context, begins func(), options ...option) error {
				begins()
				return run(ctx, options...)
			}
		}
		runs := map[string]runner{
			"an action": at(func(ctx context.Context, options ...option) error {
				return reexec.RunReexecActionContext(ctx, "say, then hang", options...)
			}),
			"an action that answers": at(func(ctx context.Context, options ...option) error {
				return reexec.RunReexecActionContext(ctx, "say much", append(options, reexec.Result(new(string)))...)
			}),
			"a call": at(func(ctx context.Context, options ...option) error {
				return errorOf(hang.Call(ctx, "hang", options...))
			}),
			"a call that answers": at(func(ctx context.Context, options ...option) error {
				return errorOf(say.Call(ctx, 1, options...))
			}),
			"a call that obeys its context": at(func(ctx context.Context, options ...option) error {
				return errorOf(hangInContext.Call(ctx, "hang", append(options, hour)...))
			}),
			"a stream": at(func(ctx context.Context, options ...option) error {
				return errorOf(all(clamour.Call(ctx, struct{}{}, append(options, hour)...)))
			}),
			"a loop that is left": at(func(ctx context.Context, options ...option) error {
				for range clamour.Call(background, struct{}{}, append(options, hour)...) {
					<-ctx.Done()
					break
				}
				return context.Cause(ctx)
			}),
		}
		byWorker := func(life, call func(ctx context.Context) context.Context) runner {
			return func(ctx context.Context, begins func(), options ...option) error {
				w, err := hang.Start(life(ctx), options...)
				if err != nil {
					return err
				}
				context.AfterFunc(over, func() { _ = w.Close() }) // which may hang until the writer is released
				begins()
				return errorOf(w.Call(call(ctx), "hang"))
			}
		}
		limited := func(ctx context.Context) context.Context { return ctx }
		unlimited := func(context.Context) context.Context { return background }
		runs["a worker's call"] = byWorker(unlimited, limited)
		runs["a worker's call, by the context of Start"] = byWorker(limited, unlimited)

		// expectRelease expects the end of the context to release these runs, which wait at the same time, when something
		// blocks each that has begun. An answer that has come by then counts.
		expectRelease := func(blocks func() (isBlocked func(begun <-chan struct{}), options []option), names ...string) {
			GinkgoHelper()
			DeferCleanup(killChildren)
			released := map[string]<-chan error{}
			for _, what := range names {
				isBlocked, options := blocks()
				ctx, cancel := context.WithCancelCause(background)
				DeferCleanup(func() { cancel(nil) })
				begun := make(chan struct{})
				go func() { isBlocked(begun); cancel(errEnough) }()
				released[what] = inBackground(func() error { return runs[what](ctx, func() { close(begun) }, options...) })
			}
			for what, done := range released {
				err := received(done, "%s hangs", what)
				if err != nil || what != "a call that answers" {
					Expect(err).To(MatchError(errEnough), what)
				}
			}
			Eventually(children).WithTimeout(moment).Should(BeEmpty())
		}

		It("does not keep the end of the context from releasing its caller", func() {
			expectRelease(func() (func(<-chan struct{}), []option) {
				w := newBlockingWriter()
				return func(<-chan struct{}) { <-w.Blocks }, []option{reexec.Stderr(w)}
			}, slices.Collect(maps.Keys(runs))...)
		})

		It("does not do so either if it is the parent's own stderr", func() {
			blockStderr()
			expectRelease(func() (func(<-chan struct{}), []option) {
				return func(begun <-chan struct{}) {
					<-begun // starting a worker may take its time
					time.Sleep(200 * time.Millisecond)
				}, nil
			}, "a call", "a call that answers", "a call that obeys its context", "a stream", "a loop that is left",
				"a worker's call", "a worker's call, by the context of Start")
		})

		// call has a worker called in a goroutine of its own.
		call := func(w *reexec.Worker[string, string], ctx context.Context, param string) <-chan error {
			return inBackground(func() error { return errorOf(w.Call(ctx, param)) })
		}

		It("does not keep Close from returning, nor the call that is being served", func() {
			blocking := newBlockingWriter()
			w := must(hang.Start(background, reexec.Stderr(blocking), reexec.GracePeriod(50*time.Millisecond)))
			called := call(w, background, "hang")
			Eventually(blocking.Blocks).Should(BeClosed())
			_ = inTime(w.Close)
			Expect(received(called)).To(HaveOccurred())
			Expect(children()).To(BeEmpty())
		})

		It("does not keep Close of an idle worker from returning", func() {
			blocking := newBlockingWriter()
			w := must(sayLater.Start(background, reexec.Stderr(blocking), reexec.GracePeriod(50*time.Millisecond)))
			Expect(w.Call(background, struct{}{})).To(Equal(struct{}{}))
			Eventually(blocking.Blocks).Should(BeClosed())
			_ = inTime(w.Close)
			Expect(children()).To(BeEmpty())
		})

		// A worker that is busy with two calls, of no context and of one, has said something, and ends.
		busy := func(f reexec.Func[string, string], end func(w *reexec.Worker[string, string]), first, second string) (
			w *reexec.Worker[string, string], cancel context.CancelCauseFunc, one, two <-chan error) {
			GinkgoHelper()
			blocking := newBlockingWriter()
			w = must(f.Start(background, reexec.Stderr(blocking), reexec.Concurrency(2), hour))
			ctx, cancel := context.WithCancelCause(background)
			DeferCleanup(func() { cancel(nil) })
			one, two = call(w, background, first), call(w, ctx, second)
			Eventually(blocking.Blocks).Should(BeClosed())
			end(w)
			Eventually(w.Done()).Should(BeClosed())
			return w, cancel, one, two
		}
		killed := func() (*reexec.Worker[string, string], context.CancelCauseFunc, <-chan error, <-chan error) {
			GinkgoHelper()
			return busy(hangInContext, func(w *reexec.Worker[string, string]) { Expect(kill(w.PID())).To(Succeed()) }, "hang", "hang")
		}
		wasKilled := MatchError(ContainSubstring("signal: killed"))

		It("does not keep calls from returning when their context ends, if the child is gone", func() {
			w, _, first, _ := killed()
			ctx, cancelLater := context.WithCancelCause(background)
			later := call(w, ctx, "hang")
			cancelLater(errEnough)
			Expect(received(later)).To(Or(MatchError(errEnough), wasKilled))
			_ = inTime(w.Close)
			Expect(received(first)).To(wasKilled)
		})

		It("does not keep Close from returning, if the child is gone and another one waits for its end", func() {
			w, _, first, second := killed()
			_ = inTime(w.Close)
			Expect(received(first)).To(wasKilled)
			Expect(received(second)).To(wasKilled)
		})

		It("keeps no call from returning when its context ends, though the child is gone", func() {
			var workers []*reexec.Worker[string, string]
			returned := map[string][]<-chan error{}
			for how, status := range map[string]string{"0": "exit status 0", "3": "exit status 3", "panic": "goes out"} {
				w, cancel, other, mine := busy(sayAndEnd, func(*reexec.Worker[string, string]) {}, "wait", how)
				cancel(errEnough)
				workers, returned[status] = append(workers, w), []<-chan error{other, mine}
			}
			for status, calls := range returned {
				Expect(received(calls[1])).To(Or(MatchError(errEnough), MatchError(ContainSubstring(status))))
				err := received(calls[0])
				Expect(err).To(MatchError(ContainSubstring(status)), "which is not to blame on anybody's context")
				Expect(err).NotTo(MatchError(errEnough))
			}
			_ = inTime(func() error {
				together(len(workers), func(i int) error { _ = workers[i].Close(); return nil })
				return nil
			})
		})

		It("lets nobody say that a child was killed which was gone before", func() {
			w, cancel, first, second := killed()
			cancel(errEnough)
			Expect(received(second)).To(Or(MatchError(errEnough), wasKilled))
			Expect(received(first)).To(And(wasKilled, Not(MatchError(errEnough))))
			_ = inTime(w.Close)
		})

		It("does not keep Close from returning if it is the parent's own stderr", func() {
			blockStderr()
			w := must(say.Start(background, reexec.GracePeriod(50*time.Millisecond)))
			called := inBackground(func() error { return errorOf(w.Call(background, 1)) })
			time.Sleep(100 * time.Millisecond) // nothing tells that it blocks
			_ = inTime(w.Close)
			_ = received(called)
			Expect(children()).To(BeEmpty())
		})
	})

	It("that is slow has all of it, also of what is said after a loop was left", func() {
		if runtime.GOOS == "windows" {
			Skip("needs a socket, since without one the child is killed when the loop is left")
		}
		said := 0
		slow := onStderr(func(text string) { time.Sleep(20 * time.Millisecond); said += len(text) })
		for range chatter.Call(background, 60<<10, slow, reexec.GracePeriod(time.Minute)) {
			break
		}
		Expect(said).To(Equal(60 << 10))
	})

	Context("that ends its goroutine, as a failed assertion does", func() {
		leave := onStderr(func(string) { runtime.Goexit() })

		// Whether that is an error of the run is left open.
		mayTell := Or(BeNil(), MatchError(ContainSubstring("stderr")))

		It("ends just the passing on, not an action", func() {
			var answer string
			Expect(inTime(func() (err error) { answer, err = run[string]("say much", leave); return err })).To(mayTell)
			Expect(answer).To(Equal("done"))
		})

		It("ends just the passing on, not a call", func() {
			Expect(inTime(func() error { return errorOf(say.Call(background, 1<<20, leave)) })).To(mayTell)
		})

		It("ends just the passing on, not a worker", func() {
			w := must(say.Start(background, leave))
			for range 3 {
				Expect(inTime(func() error { return errorOf(w.Call(background, 1<<20)) })).To(Succeed())
			}
			Expect(inTime(w.Close)).To(mayTell)
		})
	})

	Context("that comes before the answer", func() {
		DescribeTable("has it all when a worker's call returns", func(calls, size int, options ...option) {
			var heard safeBuffer
			writer := writerFunc(func(b []byte) (int, error) {
				if size > 1<<16 {
					time.Sleep(100 * time.Microsecond)
				}
				return heard.Write(b)
			})
			w := must(say.Start(background, append(options, reexec.Stderr(writer))...))
			missed, want := 0, 0
			for i := range often(calls) {
				bytes := 1 + (i*99_991)%size
				Expect(w.Call(background, bytes)).To(Equal(bytes))
				if want += bytes; heard.Len() < want {
					missed++
				}
			}
			Expect(w.Close()).To(Succeed())
			Expect(heard.Len()).To(Equal(want))
			Expect(missed).To(BeZero(), "calls that returned too early")
		},
			Entry("little", 2000, 100), Entry("little, of a worker that could serve more calls", 800, 100, reexec.Concurrency(4)),
			Entry("even if it is slow and that is much", 40, 200_000))

		It("need not be safe for concurrent use, if calls follow each other, whatever their size", func() { // which the race detector sees
			var heard bytes.Buffer
			w := must(sayText.Start(background, reexec.Stderr(&heard)))
			for i := range 5 {
				Expect(w.Call(background, strings.Repeat("x", 50_000))).To(Equal(100))
				Expect(heard.Len()).To(Equal((i + 1) * 100))
			}
			Expect(w.Close()).To(Succeed())
		})

		It("has it all when a call returns", func() {
			for range often(20) {
				var heard safeBuffer
				Expect(say.Call(background, 10_000, reexec.Stderr(&heard))).To(Equal(10_000))
				Expect(heard.Len()).To(Equal(10_000))
			}
		})
	})
})
