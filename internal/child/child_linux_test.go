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
	p, outcome := specs.OK2(Start(context.Background(), spec))
	Expect(outcome).To(BeNil())
	DeferCleanup(p.Close)
	return p
}

// writes writes to stdin, and tells whether that took all.
func writes(p *Child, parts ...[]byte) (all bool) {
	var writing sys.Writing
	p.WillWrite(&writing, parts)
	return writing.Now()
}

// told waits for a child, and returns what it said on stdout and how it ended.
func told(p *Child) (said string, outcome Outcome) {
	GinkgoHelper()
	b := specs.OK(io.ReadAll(p.Answer))
	return string(b), p.Wait()
}

// expectHeld expects a child to have said something on stdout, which has no end, since a descendant holds it.
func expectHeld(p *Child, said string) {
	GinkgoHelper()
	b, err := io.ReadAll(p.Answer)
	Expect(err).To(Equal(ErrHeld))
	Expect(string(b)).To(Equal(said))
}

var _ = Describe("a child", func() {
	It("answers, says, and ends", func() {
		p := start(Spec{Input: []byte("what")}, "cat; echo no >&2; exit 3")
		Expect(p.PID()).To(Equal(p.cmd.Process.Pid))
		said, outcome := told(p)
		Expect(said).To(Equal("what"))
		Expect(outcome.Stderr).To(Equal("no\n"))
		Expect(outcome.Status).To(MatchError("exit status 3"))
		Expect(outcome.State.ExitCode()).To(Equal(3))
		Expect(errors.Join(outcome.Killed, outcome.Left, outcome.Relay, outcome.Unsent)).To(BeNil())
		Expect(p.Exited()).To(BeClosed())
		Expect(sys.EndedBy(outcome.State)).NotTo(Equal(syscall.SIGKILL))
	})

	It("has an empty stdin where there is no input", func() {
		for _, input := range [][]byte{nil, {}} {
			said, _ := told(start(Spec{Input: input}, "wc -c"))
			Expect(strings.TrimSpace(said)).To(Equal("0"))
		}
	})

	It("has its variables, and no orders of others", func() {
		GinkgoT().Setenv("gons_net", "/proc/1/ns/net")
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
		r, w := specs.OK2(os.Pipe())
		Expect(errors.Join(r.Close(), w.Close())).To(Succeed())
		defer func(before *os.File) { os.Stdout = before }(os.Stdout)
		os.Stdout = w
		said, _ := told(start(Spec{Function: true}, "test /dev/fd/1 -ef /dev/null && echo yes >&3"))
		Expect(said).To(Equal("yes\n"))
	})

	DescribeTable("that cannot be started leaves nothing", func(spec Spec, matcher any, namespaces ...string) {
		if namespaces != nil {
			specs.NeedsNamespaces(namespaces...)
		}
		p, outcome, err := Start(context.Background(), spec)
		Expect(p).To(BeNil())
		Expect(outcome).To(BeNil())
		Expect(err).To(MatchError(matcher))
	},
		Entry("no such program", Spec{Function: true, Input: []byte("x"), Tune: tune(func(cmd *exec.Cmd) { cmd.Path = "/nowhere" })}, syscall.ENOENT),
		Entry("no such namespaces", Spec{Unshare: []string{"foo"}}, `unknown namespace type "foo", known are user, mnt, cgroup, ipc, net, pid, uts, time`),
		Entry("no such program to be sealed", Spec{Sealed: true, Tune: tune(func(cmd *exec.Cmd) { cmd.Path = "/nowhere" })},
			MatchRegexp("cannot make a sealed copy of the program: .*no such file")),
		Entry("no such user", Spec{Tune: tune(func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: []syscall.SysProcIDMap{{Size: -1}}}
		})}, MatchRegexp(`fork/exec .*`), "user"), // without such namespaces package syscall leaks a pipe
	)
})

var _ = Describe("stdin", func() {
	It("takes as much as fits before the child starts", func() {
		p := start(Spec{Input: []byte("small")}, "exit 1")
		Expect(p.input.Done()).To(BeTrue())
		Expect(p.Wait().Unsent).NotTo(HaveOccurred())
		said, outcome := told(start(Spec{Input: make([]byte, 4<<20)}, "wc -c"))
		Expect(strings.TrimSpace(said)).To(Equal("4194304"))
		Expect(outcome.Unsent).NotTo(HaveOccurred())
	})

	DescribeTable("need not be read to its end", func(script string) {
		outcome := start(Spec{Input: make([]byte, 4<<20), Grace: short}, script).Wait()
		Expect(outcome.Unsent).To(And(MatchError(syscall.EPIPE), MatchError(ContainSubstring("child did not read it to its end"))))
	},
		Entry("by the child", "exit 0"),
		Entry("nor by a descendant", "exec 3<&0; sleep 20 >/dev/null 2>&1 <&3 & exit 0"),
	)

	It("of a function stays open, since more is to come", func() {
		p := start(Spec{Function: true}, "cat >&3")
		Expect(writes(p, []byte("a\n"))).To(BeTrue())
		line := make([]byte, 2)
		Expect(io.ReadFull(p.Answer, line)).To(Equal(2))
		Expect(writes(p, []byte("b"), []byte("\n"))).To(BeTrue())
		Expect(io.ReadFull(p.Answer, line)).To(Equal(2))
		Expect(string(line)).To(Equal("b\n"))
		Expect(p.Stdin.Close()).To(Succeed())
		_, outcome := told(p)
		Expect(outcome.Status).NotTo(HaveOccurred())
	})
})
