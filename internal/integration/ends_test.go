package integration

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
)

// moment is how long a spec waits for what takes no time: much too long for anything to take,
// but not for ever. Emulated machines need more.
var moment = 20 * time.Second

func init() {
	flag.DurationVar(&moment, "moment", moment, "how long specs wait for what takes no time")
}

// fate runs f in a goroutine of its own and tells how it ends: "returns", "goexit", or
// with a panic. What hangs fails the spec, and its children are killed afterwards.
func fate(f func()) (fate string) {
	GinkgoHelper()
	DeferCleanup(killChildren)
	ended := make(chan string, 1)
	go func() {
		fate := "goexit"
		defer func() {
			if value := recover(); value != nil {
				fate = fmt.Sprint("panic: ", value)
			}
			ended <- fate
		}()
		f()
		fate = "returns"
	}()
	Eventually(ended).WithTimeout(moment).Should(Receive(&fate), "it hangs")
	return fate
}

// inTime runs f, which must return in time, and returns its error.
func inTime(f func() error) (err error) {
	GinkgoHelper()
	Expect(fate(func() { err = f() })).To(Equal("returns"))
	return err
}

// withoutGC has files that are forgotten stay open until the end of the spec.
func withoutGC() {
	percent := debug.SetGCPercent(-1)
	DeferCleanup(debug.SetGCPercent, percent)
}

// A safeBuffer is for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *safeBuffer) Len() int { return len(b.String()) }

// An explosive result panics, or ends its goroutine, when it is decoded, if it says so.
type explosive string

func (e explosive) MarshalJSON() ([]byte, error) { return []byte(`"` + e + `"`), nil }

func (e *explosive) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `"panic"`:
		panic("at the decoder")
	case `"goexit"`:
		runtime.Goexit()
	}
	*e = explosive(b)
	return nil
}

var explode = reexec.RegisterFunc("explode", func(s string) (explosive, error) { return explosive(s), nil })

var _ = Describe("a result that cannot be decoded to its end", func() {
	BeforeEach(withoutGC)

	for _, end := range []string{"panic: at the decoder", "goexit"} { // of the goroutine that decodes it
		result, _, _ := strings.Cut(end, ":")
		short := reexec.GracePeriod(50 * time.Millisecond)

		// leavesNothing runs something that ends its goroutine.
		leavesNothing := func(run func()) {
			GinkgoHelper()
			files := openFiles()
			for range 3 {
				Expect(fate(run)).To(Equal(end))
				Eventually(children).WithTimeout(moment).Should(BeEmpty())
			}
			Eventually(openFiles).WithTimeout(moment).Should(Equal(files))
		}

		It("leaves nothing of an action: "+result, func() {
			leavesNothing(func() { _, _ = run[explosive]("echo, linger", reexec.Param(result), short) })
		})

		It("leaves nothing of a call: "+result, func() { leavesNothing(func() { _, _ = explode.Call(background, result) }) })

		It("leaves nothing of a worker: "+result, func() {
			leavesNothing(func() {
				w := must(explode.Start(background, short))
				defer func() {
					defer GinkgoRecover()
					Expect(inTime(func() error { return errorOf(w.Call(background, "fine")) })).To(HaveOccurred(), "it is gone")
					_ = inTime(w.Close)
				}()
				_, _ = w.Call(background, result)
			})
		})
	}
})

func init() {
	reexec.Register("echo, linger", func() { answer(param()); time.Sleep(time.Hour) })
	reexec.Register("print", func() { fmt.Print(param()) })
	reexec.Register("print, linger", func() { fmt.Print(param()); time.Sleep(time.Hour) })
	reexec.Register("print slowly", func() {
		for _, r := range param().(string) {
			fmt.Print(string(r))
			time.Sleep(20 * time.Millisecond)
		}
	})
	reexec.Register("print, leave descendant", func() {
		fmt.Fprint(os.Stderr, leaveDescendant())
		fmt.Print(param())
	})
}

var _ = Describe("an answer without a newline", func() {
	// run has an action print a text. A descendant that it leaves is killed.
	run := func(action, text string, grace time.Duration) (result any, err error) {
		GinkgoHelper()
		result = "nothing"
		var heard safeBuffer
		err = inTime(func() error {
			return reexec.RunReexecAction(action, reexec.Param(text), reexec.Result(&result), reexec.GracePeriod(grace), reexec.Stderr(&heard))
		})
		if pid := heard.String(); pid != "" {
			Expect(kill(atoi(pid))).To(Succeed(), "it is still there")
		}
		return result, err
	}

	DescribeTable("is complete with its last byte", func(text string, value OmegaMatcher) {
		for _, action := range []string{"print", "print, leave descendant", "print, linger"} {
			result, err := run(action, text, 20*time.Millisecond)
			Expect(err).NotTo(HaveOccurred(), action)
			Expect(result).To(value, action)
		}
	},
		Entry("a number", `42`, Equal(42.0)), Entry("a number with all that numbers have", `-1.5e+1`, Equal(-15.0)),
		Entry("a text", `"done"`, Equal("done")), Entry("true", `true`, Equal(true)), Entry("null", `null`, BeNil()),
		Entry("an array", `[1]`, Equal([]any{1.0})))

	DescribeTable("is none if something is missing", func(text string) {
		for _, action := range []string{"print", "print, leave descendant"} {
			_, err := run(action, text, 20*time.Millisecond) // and a result, which is left as it was
			Expect(err).To(MatchError(ContainSubstring("cannot decode child result")), action)
		}
	},
		Entry("of a number", `-`), Entry("of a text", `"don`), Entry("of a word", `tru`), Entry("of an array", `[1`),
		Entry("everything", ``))

	It("is not over before the child says so", func() { Expect(run("print slowly", "42", time.Minute)).To(Equal(42.0)) })
})

var _ = DescribeTable("a result that nothing can be decoded into is a mistake, and nothing is started",
	func(result any) {
		never := GinkgoT().TempDir() + "/never"
		Expect(func() { _ = reexec.RunReexecAction("touch", reexec.Param(never), reexec.Result(result)) }).To(PanicWith(ContainSubstring("Result")))
		Expect(func() { _ = (&reexec.ReexecAction{ActionName: "touch", Param: never, Result: result}).Run() }).To(PanicWith(ContainSubstring("Result")))
		Expect(never).NotTo(BeAnExistingFile())
	},
	Entry("no pointer", 42), Entry("a nil pointer", (*int)(nil)), Entry("a map", map[string]int{}), Entry("a struct", struct{}{}))

func init() { reexec.Register("sound like the runtime", func() { fmt.Fprint(os.Stderr, param()) }) }

var _ = DescribeTable("stderr that sounds like a warning of the runtime is a failure where nothing is covered",
	func(text string) {
		if testing.CoverMode() != "" {
			Skip("it is covered")
		}
		err := reexec.RunReexecAction("sound like the runtime", reexec.Param(text))
		Expect(err).To(MatchError(fmt.Sprintf("gons/reexec: ReexecAction.Run: child failed with stderr message %q", text)))
	},
	Entry(nil, "program not built with -cover\n"),
	Entry(nil, "warning: GOCOVERDIR not set, no coverage data emitted\n"),
)

func asActionError(err error) *reexec.ActionError {
	GinkgoHelper()
	failed := as[*reexec.ActionError](err)
	Expect(err.Error()).NotTo(ContainSubstring("\n"))
	Expect(failed.Err.Error()).NotTo(ContainSubstring("\n"))
	return failed
}

// cancelWhenHanging returns a context that is cancelled, and an option that does it, as soon as the action "hang" has begun.
func cancelWhenHanging(cause error) (context.Context, option) {
	ctx, cancel := context.WithCancelCause(context.Background())
	DeferCleanup(func() { cancel(nil) })
	return ctx, onStderr(func(string) { cancel(cause) })
}

var noContext context.Context

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// textOfKilled is what is said of a child that was killed. Windows knows no signals.
func textOfKilled() string {
	if runtime.GOOS == "windows" {
		return "exit status 1"
	}
	return "signal: killed"
}

var _ = Describe("time limits", func() {
	It("runs within a context", func() {
		var answer string
		Expect(reexec.RunReexecActionContext(background, "answer", reexec.Result(&answer))).To(Succeed())
		Expect(answer).To(Equal("done"))
		Expect(reexec.NewReexecAction("silent").RunContext(background)).To(Succeed())
	})

	It("starts nothing when the context is done already", func() {
		ctx, cancel := context.WithCancelCause(background)
		cancel(errEnough)
		never := filepath.Join(GinkgoT().TempDir(), "never")
		err := reexec.RunReexecActionContext(ctx, "touch", reexec.Param(never))
		Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child was not started, reason: enough is enough"))
		Expect(err).To(MatchError(errEnough))
		Expect(never).NotTo(BeAnExistingFile())
		Expect(reexec.RunReexecActionContext(ctx, "answer", reexec.Param(make(chan int)))).To(MatchError(errEnough), "it looks at the parameter later")
	})

	It("kills the child when the context is done", func() {
		ctx, whenHanging := cancelWhenHanging(errEnough)
		err := reexec.RunReexecActionContext(ctx, "hang", whenHanging)
		Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child was killed, reason: enough is enough"))
		Expect(err).To(MatchError(errEnough))
		Expect(asActionError(err)).To(And(HaveField("Action", "hang"), HaveField("Stderr", "hanging")))
		Expect(as[*exec.ExitError](err)).To(MatchError(textOfKilled()))
	})

	It("knows deadlines", func() {
		Expect(reexec.RunReexecActionContext(within(50*time.Millisecond, nil), "hang", reexec.Stderr(&bytes.Buffer{}))).To(MatchError(context.DeadlineExceeded))
	})

	It("does not wait for descendants after that", func() {
		ctx, cancel := context.WithCancelCause(background)
		heard := ""
		hour := reexec.GracePeriod(time.Hour) // would be much too long
		Expect(reexec.RunReexecActionContext(ctx, "leave descendant, hang", hour, onStderr(func(said string) {
			cancel(errEnough)
			heard += said
		}))).To(MatchError(errEnough))
		Expect(alive(atoi(heard))).To(Succeed())
		Expect(kill(atoi(heard))).To(Succeed())
	})

	It("panics without a context", func() {
		Expect(func() { _ = reexec.RunReexecActionContext(noContext, "answer") }).To(PanicWith("nil Context"))
	})

	DescribeTable("lets a child linger for the grace period", func(grace time.Duration) {
		Expect(run[string]("linger", reexec.GracePeriod(grace))).To(Equal("done"))
	},
		Entry("short", time.Millisecond), Entry("none", time.Duration(0)), Entry("negative: none either", -time.Second))

	It("does so for no longer", func() {
		// The default of 1 s would add up to what no machine is slow enough for.
		const runs = 30
		begin := time.Now()
		for range runs {
			must(run[string]("linger", reexec.GracePeriod(time.Millisecond)))
		}
		Expect(time.Since(begin)).To(BeNumerically("<", runs*time.Second))
	})

	It("lets a child linger for a second otherwise", func() {
		begin := time.Now()
		must(run[string]("linger"))
		Expect(time.Since(begin)).To(BeNumerically(">=", time.Second))
	})

	It("forgives a child only its own work", func() {
		for range often(100) { // the child ends by itself about when the grace period does
			_, err := run[string]("answer, then fail", reexec.GracePeriod(10*time.Millisecond+rand.N(2*time.Millisecond)))
			if err != nil {
				Expect(exitCode(err)).To(Equal(3))
			}
		}
	})

	It("tells of the context also if the child has ended, but not its descendants", func() {
		ctx, cancel := context.WithCancelCause(background)
		defer cancel(nil)
		pids := make(chan string, 1)
		done := inBackground(func() error {
			return reexec.RunReexecActionContext(ctx, "leave descendant, end", reexec.Result(new(int)),
				reexec.GracePeriod(time.Hour), onStderr(func(said string) { pids <- said }))
		})
		defer func() { _ = kill(atoi(<-pids)) }()
		Eventually(pids).Should(HaveLen(1))
		Eventually(children).Should(BeEmpty())
		Expect(done).NotTo(Receive())
		cancel(errEnough)
		Expect(received(done)).To(And(MatchError(errEnough), MatchError(ContainSubstring("child was killed, reason: enough is enough"))))
	})

	It("does not cut a grace period short", func() {
		_, err := run[string]("answer, then fail", reexec.GracePeriod(time.Hour))
		Expect(exitCode(err)).To(Equal(3))
	})
})

var _ = Describe("errors", func() {
	It("has all causes in its chain", func() {
		_, err := run[int]("status and stderr")
		failed := asActionError(err)
		Expect(failed).To(And(HaveField("Action", "status and stderr"), HaveField("Stderr", "failed"), HaveField("Err", HaveOccurred())))
		Expect(errors.Unwrap(err)).To(Equal(failed.Err))
		Expect(exitCode(err)).To(Equal(3))
	})

	It("has something to say even if a client has made it", func() {
		Expect(&reexec.ActionError{Action: "mine", Err: errors.New("mishap")}).To(MatchError(`gons/reexec: action "mine" failed: mishap`))
	})
})

var _ = Describe("stderr of one's own", func() {
	It("passes stderr on, and it is no failure", func() {
		var stderr bytes.Buffer
		Expect(run[string]("fail", reexec.Stderr(&stderr))).To(Equal("done"))
		Expect(stderr.String()).To(Equal("failed"))
	})

	It("passes all of it on", func() {
		var stderr bytes.Buffer
		Expect(reexec.RunReexecAction("huge failure", reexec.Stderr(&stderr))).To(Succeed())
		Expect(stderr.Len()).To(Equal(16<<20 + len("BEGINEND")))
	})

	It("passes it on as it comes", func() {
		ctx, cancel := context.WithCancel(background)
		stderr := gbytes.NewBuffer()
		done := inBackground(func() error { return reexec.RunReexecActionContext(ctx, "hang", reexec.Stderr(stderr)) })
		Eventually(stderr).Should(gbytes.Say("hanging"))
		Expect(done).NotTo(Receive())
		cancel()
		Expect(received(done)).To(MatchError(context.Canceled))
	})

	It("still tells what was written, if the child fails otherwise", func() {
		err := reexec.RunReexecAction("status and stderr", reexec.Stderr(&bytes.Buffer{}))
		Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child failed, reason: exit status 3"))
		Expect(asActionError(err).Stderr).To(Equal("failed"))
	})

	It("is an error if it cannot be passed on", func() {
		full := errors.New("full")
		err := reexec.RunReexecAction("huge failure", reexec.Stderr(writerFunc(func([]byte) (int, error) { return 0, full })))
		Expect(err).To(And(MatchError(full), MatchError("gons/reexec: ReexecAction.Run: cannot pass on stderr of child, reason: full")))
	})

	It("is a failure again without a writer", func() {
		Expect(reexec.RunReexecAction("fail", reexec.Stderr(&bytes.Buffer{}), reexec.Stderr(nil))).NotTo(Succeed())
	})
})

var _ = Describe("a tuned command", func() {
	It("sets the working directory", func() {
		dir := GinkgoT().TempDir()
		Expect(run[string]("cwd", reexec.Cmd(func(cmd *exec.Cmd) { cmd.Dir = dir }))).To(Equal(dir))
	})

	It("runs the action, whatever becomes of its environment and arguments", func() {
		args := slices.Clone(os.Args)
		for _, tune := range []func(*exec.Cmd){
			func(cmd *exec.Cmd) { cmd.Env = nil },
			func(cmd *exec.Cmd) { cmd.Env = []string{"gons_reexec_action=silent", "gons_net=/nowhere"} },
			func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "more") },
			func(cmd *exec.Cmd) { cmd.Args[0] = "other" },
		} {
			Expect(run[string]("answer", reexec.Cmd(tune))).To(Equal("done"))
		}
		Expect(os.Args).To(Equal(args))
	})
})
