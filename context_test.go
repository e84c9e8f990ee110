package reexec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"golang.org/x/sys/unix"
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
		Expect(exit.Sys().(syscall.WaitStatus).Signal()).To(Equal(syscall.SIGKILL))
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
		Expect(syscall.Kill(descendant, 0)).To(Succeed())
		Expect(syscall.Kill(descendant, syscall.SIGKILL)).To(Succeed())
	})

	It("panics without a context", func() {
		Expect(func() { _ = reexec.RunReexecActionContext(noContext, "answer") }).To(PanicWith("nil Context"))
	})

	It("leaves nothing behind, whenever it is cancelled", func() {
		n := newNeighbour("user", "pid", "net")
		for _, types := range [][]string{nil, {"!user", "!net"}, {"!user", "!pid", "!net"}} {
			var all sync.WaitGroup
			failures := make(chan error, 4*40)
			for worker := range 4 {
				all.Go(func() {
					for i := range 40 {
						delay := time.Duration((i*4+worker)*100) * time.Microsecond
						ctx, cancel := context.WithTimeoutCause(context.Background(), delay, reason)
						err := reexec.RunReexecActionContext(ctx, "silent", reexec.Namespaces(n.namespaces(types...)))
						cancel()
						if err != nil && !errors.Is(err, reason) {
							failures <- err
						}
					}
				})
			}
			all.Wait()
			Expect(failures).NotTo(Receive())
			Expect(children()).To(HaveLen(1), "the neighbour")
		}
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
		for i := range 200 {
			err := reexec.RunReexecAction("answer, then fail",
				reexec.Result(new(string)), reexec.GracePeriod(10*time.Millisecond+time.Duration(i*10)*time.Microsecond))
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
		defer func() { _ = syscall.Kill(atoi(<-pids), syscall.SIGKILL) }()
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

	It("tells of a signal", func() {
		err := reexec.RunReexecAction("kill yourself")
		Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child failed, reason: signal: terminated"))
		var exit *exec.ExitError
		Expect(errors.As(asActionError(err), &exit)).To(BeTrue())
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

var _ = Describe("tuned children", func() {

	It("sets the working directory", func() {
		dir := GinkgoT().TempDir()
		var cwd string
		Expect(reexec.RunReexecAction("cwd", reexec.Result(&cwd),
			reexec.Cmd(func(cmd *exec.Cmd) { cmd.Dir = dir }))).To(Succeed())
		Expect(cwd).To(Equal(dir))
	})

	It("passes files on", func() {
		r, w, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		defer r.Close()
		n := newNeighbour("user", "pid", "net")
		for _, namespaces := range [][]reexec.Namespace{nil, n.namespaces("!user", "!pid", "!net")} {
			Expect(reexec.RunReexecAction("write to 4", reexec.Namespaces(namespaces),
				reexec.Cmd(func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{nil, w} }))).To(Succeed())
		}
		Expect(w.Close()).To(Succeed())
		Expect(gbytes.TimeoutReader(r, time.Minute).Read(make([]byte, 100))).To(Equal(2 * len("here")))
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

	It("leaves nothing behind if a child with a Pdeathsig cannot be started", func() {
		n := newNeighbour("user", "pid")
		namespaces := n.namespaces("!user", "pid")
		namespaces[1].Path = "/nowhere"
		for _, namespaces := range [][]reexec.Namespace{namespaces, n.namespaces("!user", "!pid")} {
			for range 5 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				_ = reexec.RunReexecActionContext(ctx, "hang", reexec.Namespaces(namespaces),
					reexec.Stderr(io.Discard), reexec.Cmd(func(cmd *exec.Cmd) {
						cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
					}))
				cancel()
			}
		}
	})

	It("ends with a Pdeathsig if it is an orphan already, also as the first process of a PID namespace", func() {
		parent := exec.Command("cat")
		parent.Stdin, _, _ = os.Pipe() // without end
		defer parent.Stdin.(*os.File).Close()
		Expect(parent.Start()).To(Succeed())
		fd, err := unix.PidfdOpen(parent.Process.Pid, 0)
		Expect(err).NotTo(HaveOccurred())
		pidfd := os.NewFile(uintptr(fd), "pidfd")
		defer pidfd.Close()
		Expect(parent.Process.Kill()).To(Succeed())
		Expect(parent.Wait()).NotTo(Succeed())
		for _, tune := range []func(*exec.Cmd){func(*exec.Cmd) {}, asRootOfNew} {
			child := exec.Command("/proc/self/exe")
			tune(child)
			child.Env = append(os.Environ(), "gons_reexec_child=1", "gons_reexec_action=hang",
				"gons_reexec_pdeath=15", "gons_reexec_parent=3")
			child.ExtraFiles = []*os.File{pidfd}
			Expect(child.Run()).To(MatchError("exit status 1"))
		}
	})

	It("makes new namespaces, rootless, and the child is root there", func() {
		var ids map[string]string
		Expect(reexec.RunReexecAction("namespaces", reexec.Result(&ids), reexec.Cmd(asRootOfNew))).To(Succeed())
		for kind, id := range ids {
			Expect(id).NotTo(Equal(namespaceID("self", kind)), kind)
		}
		var uid int
		Expect(reexec.RunReexecAction("uid", reexec.Result(&uid), reexec.Cmd(asRootOfNew))).To(Succeed())
		Expect(uid).To(Equal(0))
	})

	It("makes new namespaces and joins others", func() {
		n := newNeighbour("user", "net", "uts")
		var ids map[string]string
		Expect(reexec.RunReexecAction("namespaces", reexec.Result(&ids),
			reexec.Namespaces(n.namespaces("!user", "!net")),
			reexec.Cmd(func(cmd *exec.Cmd) {
				if isRoot {
					cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUTS}
				}
			}))).To(Succeed())
		Expect(ids).To(HaveKeyWithValue("net", n.id("net")))
		if isRoot {
			Expect(ids).NotTo(HaveKeyWithValue("uts", namespaceID("self", "uts")))
		}
	})

	DescribeTable("lets a child live as long as its parent, not as a thread of it",
		func(types ...string) {
			n := newNeighbour("user", "pid", "net")
			attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			for range 20 {
				var answer string
				Expect(reexec.RunReexecAction("take your time", reexec.Result(&answer),
					reexec.Namespaces(n.namespaces(types...)),
					reexec.Cmd(func(cmd *exec.Cmd) { cmd.SysProcAttr = attr }))).To(Succeed())
			}
			Expect(attr.Pdeathsig).To(Equal(syscall.SIGKILL), "what is the caller's is left alone")
		},
		Entry("without namespaces"),
		Entry("in a user namespace", "!user"),
		Entry("in a PID namespace", "!user", "!pid"),
		Entry("in a PID namespace and others", "!user", "!pid", "!net"),
	)

	DescribeTable("ends a child together with its parent",
		func(types ...string) {
			n := newNeighbour("user", "pid", "net")
			parent := other("parent with a Pdeathsig", append(types, itoa(n.pid))...)
			stdout, err := parent.StdoutPipe()
			Expect(err).NotTo(HaveOccurred())
			stdin, err := parent.StdinPipe()
			Expect(err).NotTo(HaveOccurred())
			defer stdin.Close()
			Expect(parent.Start()).To(Succeed())
			// The grandchild's PID: it holds the pipe that it got as a file.
			var child int
			_, err = fmt.Fscan(stdout, &child)
			Expect(err).NotTo(HaveOccurred())
			Expect(syscall.Kill(child, 0)).To(Succeed())
			Expect(parent.Process.Kill()).To(Succeed())
			_ = parent.Wait()
			Eventually(func() error { return alive(child) }).Should(MatchError(syscall.ESRCH))
		},
		Entry("without namespaces"),
		Entry("in a user namespace", "!user"),
		Entry("in a PID namespace", "!user", "!pid"),
	)

})

// A parent with a Pdeathsig has a child that lasts, in namespaces of a process: the
// arguments are the types, and its PID.
func init() {
	mains["parent with a Pdeathsig"] = asParent(func(args ...string) {
		types := args[:len(args)-1]
		n := &neighbour{pid: atoi(args[len(types)])}
		fmt.Println(reexec.RunReexecAction("say your PID and hang",
			reexec.Namespaces(n.namespaces(types...)),
			reexec.Cmd(func(cmd *exec.Cmd) {
				cmd.ExtraFiles = []*os.File{os.Stdout}
				cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			})))
		os.Exit(1)
	})
}

// asRootOfNew has a child be root of new namespaces of all types.
func asRootOfNew(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	for _, ns := range namespaceFlags {
		cmd.SysProcAttr.Cloneflags |= ns.flag
	}
}

// alive returns an error if there is no such process, or just a zombie that
// awaits somebody else.
func alive(pid int) error {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
		return syscall.ESRCH
	}
	return syscall.Kill(pid, 0)
}
