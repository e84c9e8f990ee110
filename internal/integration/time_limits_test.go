package integration

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
)

// asActionError returns the ActionError that an error is.
func asActionError(err error) *reexec.ActionError {
	GinkgoHelper()
	var failed *reexec.ActionError
	Expect(errors.As(err, &failed)).To(BeTrue())
	Expect(err.Error()).NotTo(ContainSubstring("\n"))
	Expect(failed.Err.Error()).NotTo(ContainSubstring("\n"))
	return failed
}

// cancelWhenHanging returns a context that is cancelled, and an option that does
// it, as soon as the action "hang" has begun.
func cancelWhenHanging(cause error) (context.Context, reexec.ReexecActionOption) {
	ctx, cancel := context.WithCancelCause(context.Background())
	DeferCleanup(func() { cancel(nil) })
	return ctx, reexec.Stderr(writerFunc(func(b []byte) (int, error) {
		cancel(cause)
		return len(b), nil
	}))
}

// noContext is nil.
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

	reason := errors.New("enough is enough")

	It("runs within a context", func() {
		var answer string
		Expect(reexec.RunReexecActionContext(context.Background(), "answer", reexec.Result(&answer))).To(Succeed())
		Expect(answer).To(Equal("done"))
		Expect(reexec.NewReexecAction("silent").RunContext(context.Background())).To(Succeed())
	})

	It("starts nothing when the context is done already", func() {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(reason)
		never := filepath.Join(GinkgoT().TempDir(), "never")
		err := reexec.RunReexecActionContext(ctx, "touch", reexec.Param(never))
		Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child was not started, reason: enough is enough"))
		Expect(err).To(MatchError(reason))
		Expect(never).NotTo(BeAnExistingFile())
	})

	It("kills the child when the context is done", func() {
		ctx, whenHanging := cancelWhenHanging(reason)
		err := reexec.RunReexecActionContext(ctx, "hang", whenHanging)
		Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child was killed, reason: enough is enough"))
		Expect(err).To(MatchError(reason))
		failed := asActionError(err)
		Expect(failed.Action).To(Equal("hang"))
		Expect(failed.Stderr).To(Equal("hanging"))
		var exit *exec.ExitError
		Expect(errors.As(err, &exit)).To(BeTrue())
		Expect(exit).To(MatchError(textOfKilled()))
	})

	It("knows deadlines", func() {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		err := reexec.RunReexecActionContext(ctx, "hang", reexec.Stderr(&bytes.Buffer{}))
		Expect(err).To(MatchError(context.DeadlineExceeded))
	})

	It("does not wait for descendants after that", func() {
		ctx, cancel := context.WithCancelCause(context.Background())
		var heard bytes.Buffer
		err := reexec.RunReexecActionContext(ctx, "leave descendant, hang",
			reexec.GracePeriod(time.Hour), // would be much too long
			reexec.Stderr(writerFunc(func(b []byte) (int, error) {
				cancel(reason)
				return heard.Write(b)
			})))
		Expect(err).To(MatchError(reason))
		descendant := atoi(heard.String())
		Expect(alive(descendant)).To(Succeed())
		Expect(kill(descendant)).To(Succeed())
	})

	It("panics without a context", func() {
		Expect(func() { _ = reexec.RunReexecActionContext(noContext, "answer") }).To(PanicWith("nil Context"))
	})

	DescribeTable("lets a child linger for the grace period",
		func(grace time.Duration) {
			var answer string
			Expect(reexec.RunReexecAction("linger", reexec.Result(&answer), reexec.GracePeriod(grace))).To(Succeed())
			Expect(answer).To(Equal("done"))
		},
		Entry("short", time.Millisecond),
		Entry("none", time.Duration(0)),
		Entry("negative: none either", -time.Second),
	)

	It("does so for no longer", func() {
		// The default of 1 s would add up to what no machine is slow enough for.
		const runs = 30
		begin := time.Now()
		for range runs {
			Expect(reexec.RunReexecAction("linger", reexec.Result(new(string)), reexec.GracePeriod(time.Millisecond))).To(Succeed())
		}
		Expect(time.Since(begin)).To(BeNumerically("<", runs*time.Second))
	})

	It("lets a child linger for a second otherwise", func() {
		begin := time.Now()
		Expect(reexec.RunReexecAction("linger", reexec.Result(new(string)))).To(Succeed())
		Expect(time.Since(begin)).To(BeNumerically(">=", time.Second))
	})

	It("forgives a child only its own work", func() {
		// The child ends by itself about when the grace period does.
		for i := range 100 {
			err := reexec.RunReexecAction("answer, then fail",
				reexec.Result(new(string)), reexec.GracePeriod(10*time.Millisecond+time.Duration(i*20)*time.Microsecond))
			if err != nil {
				Expect(exitCode(err)).To(Equal(3))
			}
		}
	})

	It("tells of the context also if the child has ended, but not its descendants", func() {
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		done := make(chan error)
		pids := make(chan string, 1)
		go func() {
			done <- reexec.RunReexecActionContext(ctx, "leave descendant, end", reexec.Result(new(int)),
				reexec.GracePeriod(time.Hour), reexec.Stderr(writerFunc(func(b []byte) (int, error) {
					pids <- string(b)
					return len(b), nil
				})))
		}()
		defer func() { _ = kill(atoi(<-pids)) }()
		Eventually(pids).Should(HaveLen(1))
		Eventually(children).Should(BeEmpty())
		Expect(done).NotTo(Receive())
		cancel(reason)
		var err error
		Eventually(done).Should(Receive(&err))
		Expect(err).To(MatchError(reason))
		Expect(err).To(MatchError(ContainSubstring("child was killed, reason: enough is enough")))
	})

	It("tells of a context that is done before it looks at the parameter", func() {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(reason)
		Expect(reexec.RunReexecActionContext(ctx, "answer", reexec.Param(make(chan int)))).To(MatchError(reason))
	})

	It("does not cut a grace period short", func() {
		var answer string
		err := reexec.RunReexecAction("answer, then fail", reexec.Result(&answer), reexec.GracePeriod(time.Hour))
		Expect(exitCode(err)).To(Equal(3))
	})

})

var _ = Describe("errors", func() {

	It("has all causes in its chain", func() {
		var answer int
		err := reexec.RunReexecAction("status and stderr", reexec.Result(&answer))
		failed := asActionError(err)
		Expect(failed.Action).To(Equal("status and stderr"))
		Expect(failed.Stderr).To(Equal("failed"))
		Expect(failed.Err).To(HaveOccurred())
		Expect(errors.Unwrap(err)).To(Equal(failed.Err))
		Expect(exitCode(err)).To(Equal(3))
	})

	It("is one line even if its reasons are not", func() {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errors.New("first line\nsecond line"))
		asActionError(reexec.RunReexecActionContext(ctx, "answer"))
	})

	It("has something to say even if a client has made it", func() {
		err := &reexec.ActionError{Action: "mine", Err: errors.New("mishap")}
		Expect(err).To(MatchError(`gons/reexec: action "mine" failed: mishap`))
	})

})

var _ = Describe("stderr of one's own", func() {

	It("passes stderr on, and it is no failure", func() {
		var answer string
		var stderr bytes.Buffer
		Expect(reexec.RunReexecAction("fail", reexec.Result(&answer), reexec.Stderr(&stderr))).To(Succeed())
		Expect(answer).To(Equal("done"))
		Expect(stderr.String()).To(Equal("failed"))
	})

	It("passes all of it on", func() {
		var stderr bytes.Buffer
		Expect(reexec.RunReexecAction("huge failure", reexec.Stderr(&stderr))).To(Succeed())
		Expect(stderr.Len()).To(Equal(64<<20 + len("BEGINEND")))
	})

	It("passes it on as it comes", func() {
		ctx, cancel := context.WithCancel(context.Background())
		stderr := gbytes.NewBuffer()
		done := make(chan error)
		go func() { done <- reexec.RunReexecActionContext(ctx, "hang", reexec.Stderr(stderr)) }()
		Eventually(stderr).Should(gbytes.Say("hanging"))
		Expect(done).NotTo(Receive())
		cancel()
		Eventually(done).Should(Receive(MatchError(context.Canceled)))
	})

	It("still tells what was written, if the child fails otherwise", func() {
		err := reexec.RunReexecAction("status and stderr", reexec.Stderr(&bytes.Buffer{}))
		Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child failed, reason: exit status 3"))
		Expect(asActionError(err).Stderr).To(Equal("failed"))
	})

	It("is an error if it cannot be passed on", func() {
		full := errors.New("full")
		err := reexec.RunReexecAction("huge failure",
			reexec.Stderr(writerFunc(func([]byte) (int, error) { return 0, full })))
		Expect(err).To(MatchError(full))
		Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: cannot pass on stderr of child, reason: full"))
	})

	It("is a failure again without a writer", func() {
		Expect(reexec.RunReexecAction("fail", reexec.Stderr(&bytes.Buffer{}), reexec.Stderr(nil))).NotTo(Succeed())
	})

})

var _ = Describe("a tuned command", func() {

	It("sets the working directory", func() {
		dir := GinkgoT().TempDir()
		var cwd string
		Expect(reexec.RunReexecAction("cwd", reexec.Result(&cwd),
			reexec.Cmd(func(cmd *exec.Cmd) { cmd.Dir = dir }))).To(Succeed())
		Expect(cwd).To(Equal(dir))
	})

	It("runs the action, whatever becomes of its environment and arguments", func() {
		args := slices.Clone(os.Args)
		for _, tune := range []func(*exec.Cmd){
			func(cmd *exec.Cmd) { cmd.Env = nil },
			func(cmd *exec.Cmd) { cmd.Env = []string{"gons_reexec_action=silent", "gons_net=/nowhere"} },
			func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "more") },
			func(cmd *exec.Cmd) { cmd.Args[0] = "other" },
		} {
			var answer string
			Expect(reexec.RunReexecAction("answer", reexec.Result(&answer), reexec.Cmd(tune))).To(Succeed())
			Expect(answer).To(Equal("done"))
		}
		Expect(os.Args).To(Equal(args))
	})

})
