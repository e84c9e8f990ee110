package child

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/sys"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// short is a grace period that nobody wants to wait for twice.
const short = 50 * time.Millisecond

var errEnough = errors.New("enough")

// shell has a child be a shell with a script.
func shell(script string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) { cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", script} }
}

// tune is what has the last word on a child.
func tune(all ...func(*exec.Cmd)) []func(*exec.Cmd) { return all }

// start starts a child; without anything else said it is a shell that runs the script.
func start(spec Spec, script string) *Child {
	GinkgoHelper()
	if spec.Tune == nil {
		spec.Tune = tune(shell(script))
	}
	if spec.Grace == 0 {
		spec.Grace = time.Hour
	}
	p, outcome, err := Start(context.Background(), spec)
	Expect(err).NotTo(HaveOccurred())
	Expect(outcome).To(BeNil())
	DeferCleanup(p.Close)
	return p
}

// input is what stdin gives.
func input(text string) []byte { return []byte(text) }

// writes writes to stdin, and tells whether that took all.
func writes(p *Child, parts ...string) (all bool) {
	var writing sys.Writing
	var bytes [][]byte
	for _, part := range parts {
		bytes = append(bytes, []byte(part))
	}
	p.WillWrite(&writing, bytes)
	return writing.Now()
}

// told waits for a child, and returns what it said on stdout and how it ended.
func told(p *Child) (said string, outcome Outcome) {
	GinkgoHelper()
	b, err := io.ReadAll(p.Answer)
	Expect(err).NotTo(HaveOccurred())
	return string(b), p.Wait()
}

var _ = Describe("a child", func() {

	It("answers, says, and ends", func() {
		p := start(Spec{Input: input("what")}, "cat; echo no >&2; exit 3")
		Expect(p.PID()).To(Equal(p.cmd.Process.Pid))
		said, outcome := told(p)
		Expect(said).To(Equal("what"))
		Expect(outcome.Stderr).To(Equal("no\n"))
		Expect(outcome.Status).To(MatchError("exit status 3"))
		Expect(outcome.State.ExitCode()).To(Equal(3))
		Expect(errors.Join(outcome.Killed, outcome.Left, outcome.Relay, outcome.Unsent)).To(BeNil())
		Expect(p.Exited()).To(BeClosed())
		Expect(sys.EndedBy(outcome.State) == syscall.SIGKILL).To(BeFalse())
	})

	It("has an empty stdin where there is no input", func() {
		said, _ := told(start(Spec{}, "wc -c"))
		Expect(strings.TrimSpace(said)).To(Equal("0"))
		said, _ = told(start(Spec{Input: input("")}, "wc -c"))
		Expect(strings.TrimSpace(said)).To(Equal("0"))
	})

	It("has its variables, and no orders of others", func() {
		DeferCleanup(os.Unsetenv, "gons_net")
		Expect(os.Setenv("gons_net", "/proc/1/ns/net")).To(Succeed())
		said, _ := told(start(Spec{Action: "foo", Env: []string{"A=1", "gons_uts=x"}}, "env"))
		Expect(strings.Fields(said)).To(ContainElements("A=1", "gons_reexec_action=foo", "gons_reexec_child=1"))
		Expect(said).NotTo(MatchRegexp("gons_net|gons_uts"))
		isOrder := func(variable string) bool { return strings.HasPrefix(variable, "gons_") }
		p := start(Spec{Env: []string{"gons_A=1", "B=1"}}, "true")
		Expect(p.cmd.Env[slices.IndexFunc(p.cmd.Env, isOrder):]).To(HaveEach(Satisfy(isOrder)), "they are the last")
		said, _ = told(start(Spec{Tune: tune(shell("env"), func(cmd *exec.Cmd) { cmd.Env = nil })}, ""))
		Expect(said).To(ContainSubstring("PATH="))
		Expect(said).NotTo(ContainSubstring("gons_net"))
	})

	It("of a function has pipes of its own", func() {
		p := start(Spec{Function: true, Concurrency: 4, Grace: time.Minute},
			`read x; env | grep gons_ | grep -v coverdir >&$gons_reexec_fd_answers; echo "$x" >&$gons_reexec_fd_answers
			test -S /dev/fd/$gons_reexec_fd_control && test -p /dev/fd/$gons_reexec_fd_stderr`)
		Expect(p.Control).NotTo(BeNil())
		Expect(p.Stdin.WriteString("later\n")).To(Equal(6))
		said, outcome := told(p)
		Expect(outcome.Status).NotTo(HaveOccurred())
		Expect(strings.Fields(said)).To(ConsistOf("gons_reexec_child=1", "gons_reexec_action=", "gons_reexec_fd_answers=3",
			"gons_reexec_fd_control=4", "gons_reexec_fd_stderr=5", "gons_reexec_concurrency=4", "gons_reexec_grace=1m0s", "later"))
	})

	It("of a parent without stdout gets one all the same", func() {
		before := os.Stdout
		DeferCleanup(func() { os.Stdout = before })
		r, w, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(errors.Join(r.Close(), w.Close())).To(Succeed())
		os.Stdout = w
		said, _ := told(start(Spec{Function: true}, "test /dev/fd/1 -ef /dev/null && echo yes >&3"))
		Expect(said).To(Equal("yes\n"))
	})

	DescribeTable("that cannot be started leaves nothing", func(spec Spec, matcher any) {
		p, outcome, err := Start(context.Background(), spec)
		Expect(p).To(BeNil())
		Expect(outcome).To(BeNil())
		Expect(err).To(MatchError(matcher))
	},
		Entry("no such program", Spec{Function: true, Input: input("x"), Tune: tune(func(cmd *exec.Cmd) { cmd.Path = "/nowhere" })}, syscall.ENOENT),
		Entry("no such namespaces", Spec{Unshare: []string{"foo"}}, `unknown namespace type "foo", known are user, mnt, cgroup, ipc, net, pid, uts, time`),
		Entry("no such program to be sealed", Spec{Sealed: true, Tune: tune(func(cmd *exec.Cmd) { cmd.Path = "/nowhere" })},
			MatchRegexp("cannot make a sealed copy of the program: .*no such file")),
	)

	It("that cannot be the user that it is to be leaves nothing", func() {
		specs.NeedsNamespaces("user") // else package syscall leaks a pipe
		p, outcome, err := Start(context.Background(), Spec{Tune: tune(func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: []syscall.SysProcIDMap{{Size: -1}}}
		})})
		Expect(p).To(BeNil())
		Expect(outcome).To(BeNil())
		Expect(err).To(MatchError(MatchRegexp(`fork/exec .*`)))
	})

})

var _ = Describe("stdin", func() {

	It("takes as much as fits before the child starts", func() {
		p := start(Spec{Input: input("small")}, "exit 1")
		Expect(p.input.Done()).To(BeTrue())
		Expect(p.Wait().Unsent).NotTo(HaveOccurred())
		p = start(Spec{Input: make([]byte, 4<<20)}, "wc -c")
		said, outcome := told(p)
		Expect(strings.TrimSpace(said)).To(Equal("4194304"))
		Expect(outcome.Unsent).NotTo(HaveOccurred())
	})

	DescribeTable("need not be read to its end", func(script string) {
		outcome := start(Spec{Input: make([]byte, 4<<20), Grace: short}, script).Wait()
		Expect(outcome.Unsent).To(MatchError(syscall.EPIPE))
		Expect(outcome.Unsent).To(MatchError(ContainSubstring("child did not read it to its end")))
	},
		Entry("by the child", "exit 0"),
		Entry("nor by a descendant", "exec 3<&0; sleep 20 >/dev/null 2>&1 <&3 & exit 0"),
	)

	It("of a function stays open, since more is to come", func() {
		p := start(Spec{Function: true}, "cat >&3")
		Expect(writes(p, "a\n")).To(BeTrue())
		line := make([]byte, 2)
		Expect(io.ReadFull(p.Answer, line)).To(Equal(2))
		Expect(writes(p, "b", "\n")).To(BeTrue())
		Expect(io.ReadFull(p.Answer, line)).To(Equal(2))
		Expect(string(line)).To(Equal("b\n"))
		Expect(p.Stdin.Close()).To(Succeed())
		_, outcome := told(p)
		Expect(outcome.Status).NotTo(HaveOccurred())
	})

})
