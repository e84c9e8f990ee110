package child

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/sys"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// reasons are why a child was killed, and why its caller has left.
func reasons(outcome Outcome) []error { return []error{outcome.Killed, outcome.Left} }

var _ = Describe("the end of a child", func() {
	It("is killed for the first reason", func() {
		p := start(Spec{}, "exec sleep 60")
		p.kill(errEnough)
		p.kill(errors.New("too late"))
		said, outcome := told(p)
		Expect(said).To(BeEmpty())
		Expect(reasons(outcome)).To(Equal([]error{errEnough, nil}))
		Expect(sys.EndedBy(outcome.State)).To(Equal(syscall.SIGKILL))
		p.kill(errors.New("too late"))
		Expect(p.Wait().Killed).To(Equal(errEnough))
	})

	It("is killed by nobody when it has ended", func() {
		p := start(Spec{}, "")
		<-p.Exited()
		p.Leave(errEnough)
		Expect(reasons(p.Wait())).To(Equal([]error{nil, errEnough}))
	})

	It("may linger for the grace period", func() {
		p := start(Spec{Grace: short}, "echo 1; exec sleep 60")
		Expect(io.ReadFull(p.Answer, make([]byte, 2))).To(Equal(2))
		p.Linger().Stop()
		Consistently(p.Exited(), 2*short).ShouldNot(BeClosed())
		begin := time.Now()
		p.Linger()
		p.Linger()
		Expect(p.Wait().Killed).To(Equal(ErrLingers))
		Expect(time.Since(begin)).To(BeNumerically(">=", short))
	})

	It("is left after the grace period, for the first reason", func() {
		p := start(Spec{Grace: short}, "exec sleep 60")
		begin := time.Now()
		p.LeaveAfterGrace(errEnough)
		p.LeaveAfterGrace(errors.New("too late"))
		Expect(reasons(p.Wait())).To(Equal([]error{errEnough, errEnough}))
		Expect(time.Since(begin)).To(BeNumerically(">=", short))
	})

	It("ends with its context, as long as it is not waited for", func() {
		ctx, cancel := context.WithCancelCause(context.Background())
		p := start(Spec{}, "exec sleep 60")
		p.OnEnd(ctx, func() { p.Leave(context.Cause(ctx)) })
		cancel(errEnough)
		Expect(p.Wait().Killed).To(Equal(errEnough))

		ctx, cancel = context.WithCancelCause(context.Background())
		p = start(Spec{}, "")
		ran := false
		p.OnEnd(ctx, func() { ran = true })
		_ = p.Wait()
		cancel(errEnough)
		Expect(ran).To(BeFalse())
	})

	It("is killed by Close if it was not waited for", func() {
		p := start(Spec{}, "exec sleep 60")
		p.Close()
		Expect(p.Exited()).To(BeClosed())
		Expect(p.Wait().Killed).To(Equal(os.ErrClosed))
		p.Close()
	})

	It("may have been reaped by somebody else", func() {
		said, outcome := told(start(Spec{}, "echo 1; read x")) // of no input
		Expect(said).To(Equal("1\n"))
		Expect(outcome.Status).To(MatchError("exit status 1"))

		cmd := exec.Command("/bin/true")
		Expect(cmd.Start()).To(Succeed())
		specs.OK(unix.Wait4(cmd.Process.Pid, nil, 0, nil))
		Expect(wait(cmd)).To(And(MatchError(syscall.ECHILD), MatchError(ContainSubstring("status unknown"))))
		Expect(wait(&exec.Cmd{})).To(MatchError(syscall.ECHILD))
	})

	It("whose descendant holds its pipes is waited for no longer than the grace period", func() {
		p := start(Spec{Grace: short}, "echo 1; echo 2 >&2; sleep 20 &")
		begin := time.Now()
		expectHeld(p, "1\n")
		outcome := p.Wait()
		Expect(time.Since(begin)).To(And(BeNumerically(">=", short), BeNumerically("<", 15*time.Second)), "the descendant lives for 20")
		Expect(outcome.Stderr).To(Equal("2\n"))
		Expect(outcome.Status).NotTo(HaveOccurred())
	})

	It("whose descendant holds its pipes is not waited for once its caller has left", func() {
		p := start(Spec{}, "echo 1; echo 2 >&2; sleep 20 & echo 3")
		<-p.Exited()
		p.Leave(errEnough)
		expectHeld(p, "1\n3\n")
		outcome := p.Wait()
		Expect(outcome.Stderr).To(Equal("2\n"))
		Expect(reasons(outcome)).To(Equal([]error{nil, errEnough}))
	})

	It("is not ended by its caller's letting go", func() {
		p := start(Spec{Function: true}, "read x; echo 1 >&3; echo 2 >&2; sleep 20 >&2 & exit 3")
		p.LetGo(errEnough)
		p.LetGo(errors.New("too late"))
		Consistently(p.Exited(), "10ms").ShouldNot(BeClosed())
		Expect(writes(p, []byte("x\n"))).To(BeTrue())
		expectHeld(p, "1\n")
		outcome := p.Wait()
		Expect(reasons(outcome)).To(Equal([]error{nil, errEnough}))
		Expect(outcome.Status).To(MatchError("exit status 3"))
		Expect(outcome.Stderr).To(Equal("2\n"))
	})

	It("has its memory released, though its caller leaves later, with a long grace period", func() {
		released := make(chan struct{})
		func() {
			p, _ := specs.OK2(Start(context.Background(), Spec{Grace: time.Hour, Tune: tune(shell("exit"))}))
			p.Wait()
			p.Close()
			p.LeaveAfterGrace(errEnough)
			p.Linger()
			runtime.AddCleanup(p, func(c chan struct{}) { close(c) }, released)
		}()
		Eventually(func() chan struct{} { runtime.GC(); return released }).WithTimeout(10 * time.Second).Should(BeClosed())
	})

	It("may end by itself within the grace period", func() {
		p := start(Spec{}, "echo 1; sleep 20 & exit 0")
		p.LeaveAfterGrace(errEnough)
		outcome := p.Wait()
		Expect(reasons(outcome)).To(Equal([]error{nil, errEnough}), "its descendants have no grace period")
		Expect(outcome.Status).NotTo(HaveOccurred())
	})

	It("of a function says nothing more after its end, whatever its descendants do", func() {
		p := start(Spec{Function: true}, "echo 1 >&3; sleep 20 >&2 & exit 0")
		expectHeld(p, "1\n")
		p.Leave(errEnough)
	})

	It("has died when a descendant holds its stderr, which goes on", func() {
		heard := make(chan string, 10)
		p := start(Spec{Stderr: writer(func(b []byte) (int, error) { heard <- string(b); return len(b), nil }), Function: true},
			"echo 1 >&2; exec 9<&0; (read x; echo $x; read x) <&9 >&2 & exit 3")
		died := p.Died()
		Expect(died.Status).To(MatchError("exit status 3"))
		Expect(died.State.ExitCode()).To(Equal(3))
		Expect(errors.Join(died.Killed, died.Left, died.Relay)).To(BeNil())
		Expect(died.Stderr).To(Equal("1\n"))
		Expect(heard).To(Receive(Equal("1\n")))
		Expect(writes(p, []byte("2\n"))).To(BeTrue())
		Eventually(heard).Should(Receive(Equal("2\n")))
		Expect(p.Died().Stderr).To(Equal("1\n2\n"))
		p.Leave(errEnough)
	})

	DescribeTable("has died with all that it has written, if the passing on gets on", func(pause, atLeast time.Duration, all bool) {
		blocks, release, passed := make(chan struct{}, 100), make(chan struct{}), 0
		p := start(Spec{Function: true, Stderr: writer(func(b []byte) (int, error) {
			blocks <- struct{}{}
			select {
			case <-time.After(pause):
			case <-release:
			}
			passed += len(b)
			return len(b), nil
		})}, "echo >&2; read x; head -c 20000 /dev/zero >&2")
		Eventually(blocks).Should(Receive())
		begin := time.Now()
		Expect(writes(p, []byte("\n"))).To(BeTrue())
		died := p.Died()
		Expect(time.Since(begin)).To(BeNumerically(">=", atLeast))
		Expect(len(died.Stderr) == 20001).To(Equal(all))
		close(release)
		Expect(p.Wait().Stderr).To(HaveLen(20001))
		p.Close()
		Expect(passed).To(Equal(20001))
	},
		Entry("slowly", 120*time.Millisecond, 120*time.Millisecond, true),
		Entry("not at all", time.Hour, moment, false),
	)
})
