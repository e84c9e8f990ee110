package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	Context("parameter", func() {
		It("ends with end of file", func() {
			Expect(run[int]("read all", reexec.Param("abc"))).To(Equal(len(`"abc"` + "\n")))
		})

		DescribeTable("may be of any size", func(size int) {
			param := strings.Repeat("x", size)
			answer := must(run[string]("echo", reexec.Param(param)))
			Expect(answer == param).To(BeTrue())
		},
			Entry("small", 10), Entry("just as large as a pipe", 1<<16-3), Entry("a bit larger than a pipe", 1<<16-2),
			Entry("8 MiB", 8<<20))

		It("may meet an action that writes before it reads", func() {
			Expect(run[string]("write, then read",
				reexec.Param(strings.Repeat("y", 1<<20)))).To(HaveLen(1 << 20))
		})

		It("may be left unread", func() {
			large := strings.Repeat("x", 4<<20)
			answer := must(run[string]("answer", reexec.Param(large)))
			Expect(answer).To(Equal("done"))
			Expect(reexec.RunReexecAction("answer", reexec.Param(large))).To(Succeed())
		})

		It("is told about if the action left it unread and failed", func() {
			err := reexec.RunReexecAction("big failure", reexec.Param(strings.Repeat("x", 4<<20)))
			Expect(err).To(MatchError(HavePrefix("gons/reexec: ReexecAction.Run: cannot send parameter to child, reason: ")))
			Expect(err).To(MatchError(syscall.EPIPE))
			Expect(err).To(MatchError(ContainSubstring(`child failed with stderr message "failed\n`)))
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
			Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: cannot send parameter to child, reason: " +
				"json: unsupported type: chan int"))
			as[*json.UnsupportedTypeError](err)
			Expect(never).NotTo(BeAnExistingFile())
		})
	})

	Context("answer", func() {
		It("is dropped if nobody wants it", func() {
			Expect(reexec.RunReexecAction("answer")).To(Succeed())
			Expect(reexec.RunReexecAction("garbage")).To(Succeed())
			Expect(reexec.RunReexecAction("noise")).To(Succeed())
			Expect(reexec.RunReexecAction("silent")).To(Succeed())
		})

		It("is just the first value", func() {
			Expect(run[string]("more")).To(Equal("done"))
		})

		It("may be null", func() {
			answer := []string{"not", "nil"}
			Expect(reexec.RunReexecAction("null", reexec.Result(&answer))).To(Succeed())
			Expect(answer).To(BeNil())
		})

		It("is shown if it cannot be decoded", func() {
			_, err := run[string]("garbage")
			Expect(err).To(MatchError(HavePrefix("gons/reexec: ReexecAction.Run: cannot decode child result, reason: " +
				"invalid character 'd' looking for beginning of value")))
			Expect(err).To(MatchError(ContainSubstring(`"done\n"`)))
			as[*json.SyntaxError](err)
		})

		It("is shortened if it is long", func() {
			_, err := run[int]("noise")
			Expect(err).To(MatchError(And(ContainSubstring("noisenoise"), ContainSubstring("left out"))))
			Expect(len(err.Error())).To(BeNumerically("<", 1000))
		})

		It("is missed", func() {
			_, err := run[string]("silent")
			Expect(err).To(MatchError(HavePrefix("gons/reexec: ReexecAction.Run: cannot decode child result, reason: EOF")))
			Expect(err).To(MatchError(io.EOF))
		})

		It("must fit", func() {
			_, err := run[int]("answer")
			as[*json.UnmarshalTypeError](err)
		})

		It("ends the child after the grace period", func() {
			var answer string
			short := reexec.GracePeriod(50 * time.Millisecond)
			Expect(reexec.RunReexecAction("linger", reexec.Result(&answer), short)).To(Succeed())
			Expect(answer).To(Equal("done"))
			err := reexec.RunReexecAction("linger, garbage", reexec.Result(&answer), short)
			Expect(err).To(MatchError(ContainSubstring("cannot decode child result")))
		})
	})

	Context("stderr", func() {
		It("is a failure, even beside an answer", func() {
			var answer string
			err := reexec.RunReexecAction("fail", reexec.Result(&answer))
			Expect(err).To(MatchError(`gons/reexec: ReexecAction.Run: child failed with stderr message "failed"`))
			Expect(answer).To(Equal("done"))
		})

		It("comes before the answer and the exit status", func() {
			_, err := run[string]("status and stderr")
			Expect(err).To(MatchError(`gons/reexec: ReexecAction.Run: child failed with stderr message "failed"`))
			Expect(exitCode(err)).To(Equal(3))
			Expect(err).To(MatchError(io.EOF))
		})

		It("tells of a panic", func() {
			Expect(reexec.RunReexecAction("panic")).To(MatchError(And(
				ContainSubstring("at the disco"), ContainSubstring("goroutine 1"))))
		})

		// One run loses nothing, usually; so there are many, from many goroutines.
		It("is never lost", func() {
			workers, runs := 8, often(20)
			failures := make(chan string, workers*runs)
			var all sync.WaitGroup
			for range workers {
				all.Go(func() {
					for range runs {
						_, err := run[string]("big failure", reexec.Param("x"))
						var failed *reexec.ActionError
						switch {
						case !errors.As(err, &failed):
							failures <- "reported as success"
						case failed.Stderr != bigFailure || exitCode(err) != 1 ||
							!strings.HasPrefix(err.Error(), "gons/reexec: ReexecAction.Run: child failed with stderr message"):
							failures <- err.Error()
						}
					}
				})
			}
			all.Wait()
			Expect(failures).NotTo(Receive())
		})

		It("is not lost either if the parent has no time to read it", func() {
			// Without grace all limits have passed before anything is read.
			for range often(50) {
				err := reexec.RunReexecAction("big failure", reexec.GracePeriod(0))
				failed := as[*reexec.ActionError](err)
				Expect(failed.Stderr).To(Equal(bigFailure))
			}
		})

		It("is kept in bounded memory", func() {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := reexec.RunReexecAction("huge failure")
			runtime.ReadMemStats(&after)
			Expect(err).To(MatchError(And(
				ContainSubstring(`stderr message "BEGINxxx`),
				MatchRegexp(`\[\.\.\. \d+ bytes left out \.\.\.\]`),
				HaveSuffix(`xxxEND"`))))
			Expect(after.TotalAlloc - before.TotalAlloc).To(BeNumerically("<", 4<<20))
		})
	})

	It("reports an exit status", func() {
		err := reexec.RunReexecAction("status")
		Expect(exitCode(err)).To(Equal(3))
		var answer string
		err = reexec.RunReexecAction("status and answer", reexec.Result(&answer))
		Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child failed, reason: exit status 3"))
		Expect(answer).To(Equal("done"))
		err = reexec.RunReexecAction("status", reexec.Result(&answer))
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
		const runs = 200
		errs := make(chan error, runs)
		for i := range runs {
			go func() {
				var answer int
				err := reexec.RunReexecAction("echo", reexec.Param(i), reexec.Result(&answer))
				if err == nil && answer != i {
					err = errors.New("wrong answer")
				}
				errs <- err
			}()
		}
		for range runs {
			Expect(<-errs).To(Succeed())
		}
	})

	It("returns an error if the child cannot be executed", func() {
		err := reexec.RunReexecAction("answer", reexec.Cmd(func(cmd *exec.Cmd) { cmd.Dir = "/nowhere" }))
		Expect(err).To(MatchError(HavePrefix("gons/reexec: ReexecAction.Run: cannot start child, reason: ")))
		Expect(err).To(MatchError(fs.ErrNotExist))
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
		// Each runs something that writes to stderr, until ctx is done, and tells
		// when it begins with that.
		runs := map[string]func(ctx context.Context, begins func(), options ...option) error{
			"an action": func(ctx context.Context, begins func(), options ...option) error {
				begins()
				return reexec.RunReexecActionContext(ctx, "say, then hang", options...)
			},
			"an action that answers": func(ctx context.Context, begins func(), options ...option) error {
				begins()
				return reexec.RunReexecActionContext(ctx, "say much", append(options, reexec.Result(new(string)))...)
			},
			"a call": func(ctx context.Context, begins func(), options ...option) error {
				begins()
				_, err := hang.Call(ctx, "hang", options...)
				return err
			},
			"a call that answers": func(ctx context.Context, begins func(), options ...option) error {
				begins()
				_, err := say.Call(ctx, 1, options...)
				return err
			},
			"a call that obeys its context": func(ctx context.Context, begins func(), options ...option) error {
				begins()
				_, err := hangInContext.Call(ctx, "hang", append(options, reexec.GracePeriod(time.Hour))...)
				return err
			},
			"a stream": func(ctx context.Context, begins func(), options ...option) (err error) {
				begins()
				for _, err = range clamour.Call(ctx, struct{}{}, append(options, reexec.GracePeriod(time.Hour))...) {
				}
				return err
			},
			"a loop that is left": func(ctx context.Context, begins func(), options ...option) error {
				begins()
				for range clamour.Call(background, struct{}{}, append(options, reexec.GracePeriod(time.Hour))...) {
					<-ctx.Done()
					break
				}
				return context.Cause(ctx)
			},
			"a worker's call": func(ctx context.Context, begins func(), options ...option) error {
				w, err := hang.Start(background, options...)
				if err != nil {
					return err
				}
				DeferCleanup(func() { go w.Close() }) // which may hang until the writer is released
				begins()
				_, err = w.Call(ctx, "hang")
				return err
			},
			"a worker's call, by the context of Start": func(ctx context.Context, begins func(), options ...option) error {
				w, err := hang.Start(ctx, options...)
				if err != nil {
					return err
				}
				DeferCleanup(func() { go w.Close() }) // which may hang until the writer is released
				begins()
				_, err = w.Call(background, "hang")
				return err
			},
		}

		// expectRelease expects the end of the context to release a run, when something blocks
		// that has begun.
		// An answer that has come by then counts.
		expectRelease := func(what string, blocks func(begun <-chan struct{}), options ...option) {
			GinkgoHelper()
			ctx, cancel := context.WithCancelCause(background)
			DeferCleanup(func() { cancel(nil) })
			begun := make(chan struct{})
			go func() { blocks(begun); cancel(reason) }()
			err := inTime(func() error { return runs[what](ctx, func() { close(begun) }, options...) })
			if err != nil || what != "a call that answers" {
				Expect(err).To(MatchError(reason))
			}
			Eventually(children).WithTimeout(moment).Should(BeEmpty())
		}

		DescribeTable("does not keep the end of the context from", func(what string) {
			w := newBlockingWriter()
			expectRelease(what, func(<-chan struct{}) { <-w.Blocks }, reexec.Stderr(w))
		},
			Entry(nil, "an action"), Entry(nil, "an action that answers"), Entry(nil, "a call"),
			Entry(nil, "a call that answers"), Entry(nil, "a call that obeys its context"), Entry(nil, "a stream"),
			Entry(nil, "a loop that is left"), Entry(nil, "a worker's call"),
			Entry(nil, "a worker's call, by the context of Start"))

		DescribeTable("does not do so either if it is the parent's own stderr", func(what string) {
			blockStderr()
			expectRelease(what, func(begun <-chan struct{}) {
				<-begun // starting a worker may take its time
				time.Sleep(100 * time.Millisecond)
			})
		},
			Entry(nil, "a call"), Entry(nil, "a call that answers"), Entry(nil, "a call that obeys its context"),
			Entry(nil, "a stream"), Entry(nil, "a loop that is left"), Entry(nil, "a worker's call"),
			Entry(nil, "a worker's call, by the context of Start"))

		It("does not keep Close from returning, nor the call that is being served", func() {
			blocking := newBlockingWriter()
			w := must(hang.Start(background, reexec.Stderr(blocking), reexec.GracePeriod(50*time.Millisecond)))
			called := make(chan error, 1)
			go func() { _, err := w.Call(background, "hang"); called <- err }()
			Eventually(blocking.Blocks).Should(BeClosed())
			_ = inTime(w.Close)
			Eventually(called).WithTimeout(moment).Should(Receive(HaveOccurred()))
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

		// A worker that is busy with two calls, of a context and of none, has said something, and is killed by
		// somebody else.
		killed := func() (w *reexec.Worker[string, string], cancel context.CancelCauseFunc, first, second chan error) {
			GinkgoHelper()
			blocking := newBlockingWriter()
			w = must(hangInContext.Start(background, reexec.Stderr(blocking), reexec.Concurrency(2), reexec.GracePeriod(time.Hour)))
			ctx, cancel := context.WithCancelCause(background)
			first, second = make(chan error, 1), make(chan error, 1)
			go func() { _, err := w.Call(background, "hang"); first <- err }()
			go func() { _, err := w.Call(ctx, "hang"); second <- err }()
			Eventually(blocking.Blocks).Should(BeClosed())
			Expect(kill(w.PID())).To(Succeed())
			Eventually(w.Done()).Should(BeClosed())
			return w, cancel, first, second
		}

		It("does not keep calls from returning when their context ends, if the child is gone", func() {
			w, cancel, first, _ := killed()
			defer cancel(nil)
			ctx, cancelLater := context.WithCancelCause(background)
			later := make(chan error, 1)
			go func() { _, err := w.Call(ctx, "hang"); later <- err }()
			cancelLater(reason)
			Eventually(later).WithTimeout(moment).Should(Receive(Or(MatchError(reason), MatchError(ContainSubstring("signal: killed")))))
			_ = inTime(w.Close)
			Eventually(first).WithTimeout(moment).Should(Receive(MatchError(ContainSubstring("signal: killed"))))
		})

		It("does not keep Close from returning, if the child is gone and another one waits for its end", func() {
			w, cancel, first, second := killed()
			defer cancel(nil)
			_ = inTime(w.Close)
			for _, call := range []chan error{first, second} {
				Eventually(call).WithTimeout(moment).Should(Receive(MatchError(ContainSubstring("signal: killed"))))
			}
		})

		DescribeTable("keeps no call from returning when its context ends, though the child is gone", func(how, status string) {
			blocking := newBlockingWriter()
			w := must(sayAndEnd.Start(background, reexec.Stderr(blocking), reexec.Concurrency(2), reexec.GracePeriod(time.Hour)))
			ctx, cancel := context.WithCancelCause(background)
			mine, other := make(chan error, 1), make(chan error, 1)
			go func() { _, err := w.Call(background, "wait"); other <- err }()
			go func() { _, err := w.Call(ctx, how); mine <- err }()
			Eventually(blocking.Blocks).Should(BeClosed())
			Eventually(w.Done()).Should(BeClosed())
			cancel(reason)
			Eventually(mine).WithTimeout(moment).Should(Receive(Or(MatchError(reason), MatchError(ContainSubstring(status)))))
			err := received(other)
			Expect(err).To(MatchError(ContainSubstring(status)), "which is not to blame on anybody's context")
			Expect(err).NotTo(MatchError(reason))
			_ = inTime(w.Close)
		},
			Entry("with exit status 0", "0", "exit status 0"),
			Entry("with exit status 3", "3", "exit status 3"),
			Entry("after a panic", "panic", "goes out"),
		)

		It("lets nobody say that a child was killed which was gone before", func() {
			w, cancel, first, second := killed()
			cancel(reason)
			Eventually(second).WithTimeout(moment).Should(Receive(Or(MatchError(reason), MatchError(ContainSubstring("signal: killed")))))
			err := received(first)
			Expect(err).To(MatchError(ContainSubstring("signal: killed")))
			Expect(err).NotTo(MatchError(reason))
			_ = inTime(w.Close)
		})

		It("does not keep Close from returning if it is the parent's own stderr", func() {
			blockStderr()
			w := must(say.Start(background, reexec.GracePeriod(50*time.Millisecond)))
			called := make(chan error, 1)
			go func() { _, err := w.Call(background, 1); called <- err }()
			time.Sleep(100 * time.Millisecond) // nothing tells that it blocks
			_ = inTime(w.Close)
			Eventually(called).WithTimeout(moment).Should(Receive())
			Expect(children()).To(BeEmpty())
		})
	})

	It("that is slow has all of it, also of what is said after a loop was left", func() {
		if runtime.GOOS == "windows" {
			Skip("needs a socket, since without one the child is killed when the loop is left")
		}
		said := 0
		slow := writerFunc(func(b []byte) (int, error) {
			time.Sleep(20 * time.Millisecond)
			said += len(b)
			return len(b), nil
		})
		for range chatter.Call(background, 60<<10, reexec.Stderr(slow), reexec.GracePeriod(time.Minute)) {
			break
		}
		Expect(said).To(Equal(60 << 10))
	})

	Context("that ends its goroutine, as a failed assertion does", func() {
		leave := reexec.Stderr(writerFunc(func([]byte) (int, error) { runtime.Goexit(); return 0, nil }))

		// Whether that is an error of the run is left open.
		mayTell := Or(BeNil(), MatchError(ContainSubstring("stderr")))

		It("ends just the passing on, not an action", func() {
			var answer string
			Expect(inTime(func() error {
				return reexec.RunReexecAction("say much", reexec.Result(&answer), leave)
			})).To(mayTell)
			Expect(answer).To(Equal("done"))
		})

		It("ends just the passing on, not a call", func() {
			Expect(inTime(func() error {
				_, err := say.Call(background, 1<<20, leave)
				return err
			})).To(mayTell)
		})

		It("ends just the passing on, not a worker", func() {
			w := must(say.Start(background, leave))
			for range 3 {
				Expect(inTime(func() error {
					_, err := w.Call(background, 1<<20)
					return err
				})).To(Succeed())
			}
			Expect(inTime(w.Close)).To(mayTell)
		})
	})

	Context("that comes before the answer", func() {
		It("has it all when a worker's call returns", func() {
			var heard safeBuffer
			w := must(say.Start(background, reexec.Stderr(&heard)))
			missed, want := 0, 0
			for i := range often(2000) {
				bytes := 1 + i%100
				Expect(w.Call(background, bytes)).To(Equal(bytes))
				if want += bytes; heard.Len() < want {
					missed++
				}
			}
			Expect(w.Close()).To(Succeed())
			Expect(heard.Len()).To(Equal(want))
			Expect(missed).To(BeZero(), "calls that returned too early")
		})

		It("has it all when a worker's call returns, even if it is slow and that is much", func() {
			var heard safeBuffer
			w, err := say.Start(background, reexec.Stderr(writerFunc(func(b []byte) (int, error) {
				time.Sleep(100 * time.Microsecond)
				return heard.Write(b)
			})))
			Expect(err).NotTo(HaveOccurred())
			for i := range often(20) {
				Expect(w.Call(background, 100_000)).To(Equal(100_000))
				Expect(heard.Len()).To(Equal((i + 1) * 100_000))
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
