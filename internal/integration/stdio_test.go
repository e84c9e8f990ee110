package integration

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
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
			var length int
			Expect(reexec.RunReexecAction("read all", reexec.Param("abc"), reexec.Result(&length))).To(Succeed())
			Expect(length).To(Equal(len(`"abc"` + "\n")))
		})

		DescribeTable("may be of any size",
			func(size int) {
				param := strings.Repeat("x", size)
				var answer string
				Expect(reexec.RunReexecAction("echo", reexec.Param(param), reexec.Result(&answer))).To(Succeed())
				Expect(answer == param).To(BeTrue())
			},
			Entry("small", 10),
			Entry("just as large as a pipe", 1<<16-3),
			Entry("a bit larger than a pipe", 1<<16-2),
			Entry("8 MiB", 8<<20),
		)

		It("may meet an action that writes before it reads", func() {
			var answer string
			Expect(reexec.RunReexecAction("write, then read",
				reexec.Param(strings.Repeat("y", 1<<20)), reexec.Result(&answer))).To(Succeed())
			Expect(answer).To(HaveLen(1 << 20))
		})

		It("may be left unread", func() {
			large := strings.Repeat("x", 4<<20)
			var answer string
			Expect(reexec.RunReexecAction("answer", reexec.Param(large), reexec.Result(&answer))).To(Succeed())
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
			for range 50 {
				err := reexec.RunReexecAction("status", reexec.Param(strings.Repeat("x", 1<<15)))
				Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child failed, reason: exit status 3"))
			}
		})

		It("must be fit for JSON, or else no child is started", func() {
			never := filepath.Join(GinkgoT().TempDir(), "never")
			err := reexec.RunReexecAction("touch", reexec.Param([]any{never, make(chan int)}))
			Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: cannot send parameter to child, reason: " +
				"json: unsupported type: chan int"))
			var cause *json.UnsupportedTypeError
			Expect(errors.As(err, &cause)).To(BeTrue())
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
			var answer string
			Expect(reexec.RunReexecAction("more", reexec.Result(&answer))).To(Succeed())
			Expect(answer).To(Equal("done"))
		})

		It("may be null", func() {
			answer := []string{"not", "nil"}
			Expect(reexec.RunReexecAction("null", reexec.Result(&answer))).To(Succeed())
			Expect(answer).To(BeNil())
		})

		It("is shown if it cannot be decoded", func() {
			var answer string
			err := reexec.RunReexecAction("garbage", reexec.Result(&answer))
			Expect(err).To(MatchError(HavePrefix("gons/reexec: ReexecAction.Run: cannot decode child result, reason: " +
				"invalid character 'd' looking for beginning of value")))
			Expect(err).To(MatchError(ContainSubstring(`"done\n"`)))
			var syntax *json.SyntaxError
			Expect(errors.As(err, &syntax)).To(BeTrue())
		})

		It("is shortened if it is long", func() {
			var answer int
			err := reexec.RunReexecAction("noise", reexec.Result(&answer))
			Expect(err).To(MatchError(And(ContainSubstring("noisenoise"), ContainSubstring("left out"))))
			Expect(len(err.Error())).To(BeNumerically("<", 1000))
		})

		It("is missed", func() {
			var answer string
			err := reexec.RunReexecAction("silent", reexec.Result(&answer))
			Expect(err).To(MatchError(HavePrefix("gons/reexec: ReexecAction.Run: cannot decode child result, reason: EOF")))
			Expect(err).To(MatchError(io.EOF))
		})

		It("must fit", func() {
			var answer int
			err := reexec.RunReexecAction("answer", reexec.Result(&answer))
			var mismatch *json.UnmarshalTypeError
			Expect(errors.As(err, &mismatch)).To(BeTrue())
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
			var answer string
			err := reexec.RunReexecAction("status and stderr", reexec.Result(&answer))
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
			const workers, runs = 8, 20
			failures := make(chan string, workers*runs)
			var all sync.WaitGroup
			for range workers {
				all.Go(func() {
					for range runs {
						var answer string
						err := reexec.RunReexecAction("big failure", reexec.Param("x"), reexec.Result(&answer))
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
			for range 50 {
				err := reexec.RunReexecAction("big failure", reexec.GracePeriod(0))
				var failed *reexec.ActionError
				Expect(errors.As(err, &failed)).To(BeTrue())
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
		var descendant int
		Expect(reexec.RunReexecAction("leave descendant",
			reexec.Result(&descendant), reexec.GracePeriod(100*time.Millisecond))).To(Succeed())
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
