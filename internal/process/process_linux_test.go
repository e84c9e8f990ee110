package process

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/orders"
	"example.com/gons/reexec/internal/specs"

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

// start starts a child; without anything else said it is a shell that runs the script.
func start(spec Spec, script string) *Process {
	GinkgoHelper()
	if spec.Tune == nil {
		spec.Tune = shell(script)
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

// told waits for a child, and returns what it said on stdout and how it ended.
func told(p *Process) (said string, outcome Outcome) {
	GinkgoHelper()
	b, err := io.ReadAll(p.Answer)
	Expect(err).NotTo(HaveOccurred())
	return string(b), p.Wait()
}

var _ = Describe("a child", func() {

	It("answers, says, and ends", func() {
		p := start(Spec{Input: []byte("what")}, "cat; echo no >&2; exit 3")
		Expect(p.PID()).To(Equal(p.cmd.Process.Pid))
		Expect(p.Send()).To(BeClosed())
		said, outcome := told(p)
		Expect(said).To(Equal("what"))
		Expect(outcome.Stderr).To(Equal("no\n"))
		Expect(outcome.Status).To(MatchError("exit status 3"))
		Expect(outcome.State.ExitCode()).To(Equal(3))
		Expect(errors.Join(outcome.Killed, outcome.Cut, outcome.Relay)).To(BeNil())
		Expect(p.Exited()).To(BeClosed())
		Expect(EndedByKill(outcome.Status)).To(BeFalse())
	})

	It("has an empty stdin where there is no input", func() {
		said, _ := told(start(Spec{}, "wc -c"))
		Expect(strings.TrimSpace(said)).To(Equal("0"))
		said, _ = told(start(Spec{Input: []byte{}}, "wc -c"))
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
		said, _ = told(start(Spec{Tune: func(cmd *exec.Cmd) { shell("env")(cmd); cmd.Env = nil }}, ""))
		Expect(said).To(ContainSubstring("PATH="))
		Expect(said).NotTo(ContainSubstring("gons_net"))
	})

	It("of a function has pipes of its own", func() {
		p := start(Spec{Function: true, Open: true, Concurrency: 4, Grace: time.Minute, Ready: true},
			`read x; env | grep gons_ | grep -v coverdir >&$gons_reexec_answers; echo "$x" >&$gons_reexec_answers; test -S /dev/fd/$gons_reexec_control`)
		Expect(p.Control).NotTo(BeNil())
		Expect(p.Stdin.WriteString("later\n")).To(Equal(6))
		said, outcome := told(p)
		Expect(outcome.Status).NotTo(HaveOccurred())
		Expect(strings.Fields(said)).To(ConsistOf("gons_reexec_child=1", "gons_reexec_action=", "gons_reexec_answers=3",
			"gons_reexec_control=4", "gons_reexec_concurrency=4", "gons_reexec_grace=1m0s", "gons_reexec_ready=1", "later"))
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
		Entry("no such program", Spec{Function: true, Input: []byte("x"), Tune: func(cmd *exec.Cmd) { cmd.Path = "/nowhere" }}, syscall.ENOENT),
		Entry("no such namespaces", Spec{Unshare: []string{"foo"}}, `unknown namespace type "foo"`),
		Entry("no such program to be sealed", Spec{Sealed: true, Tune: func(cmd *exec.Cmd) { cmd.Path = "/nowhere" }},
			MatchRegexp("cannot make a sealed copy of the program: .*no such file")),
	)

	It("that cannot be the user that it is to be leaves nothing", func() {
		specs.NeedsNamespaces("user") // else package syscall leaks a pipe
		p, outcome, err := Start(context.Background(), Spec{Tune: func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: []syscall.SysProcIDMap{{Size: -1}}}
		}})
		Expect(p).To(BeNil())
		Expect(outcome).To(BeNil())
		Expect(err).To(MatchError(MatchRegexp(`fork/exec .*`)))
	})

	It("is killed for the first reason", func() {
		p := start(Spec{}, "exec sleep 60")
		p.Kill(errEnough)
		p.Kill(errors.New("too late"))
		said, outcome := told(p)
		Expect(said).To(BeEmpty())
		Expect(outcome.Killed).To(Equal(errEnough))
		Expect(outcome.Cut).To(BeNil())
		Expect(EndedByKill(outcome.Status)).To(BeTrue())
		p.Kill(errors.New("too late"))
		Expect(p.Wait().Killed).To(Equal(errEnough))
	})

	It("is killed by nobody when it has ended", func() {
		p := start(Spec{}, "")
		<-p.Exited()
		p.Abort(errEnough)
		outcome := p.Wait()
		Expect(outcome.Killed).To(BeNil())
		Expect(outcome.Cut).To(Equal(errEnough))
	})

	It("may linger for the grace period", func() {
		p := start(Spec{Grace: short}, "echo 1; exec sleep 60")
		Expect(io.ReadFull(p.Answer, make([]byte, 2))).To(Equal(2))
		resume := p.Linger()
		resume()
		Consistently(p.Exited(), 2*short).ShouldNot(BeClosed())
		begin := time.Now()
		p.Linger()
		p.Linger()
		Expect(p.Wait().Killed).To(Equal(ErrLingers))
		Expect(time.Since(begin)).To(BeNumerically(">=", short))
	})

	It("is aborted after the grace period, for the first reason", func() {
		p := start(Spec{Grace: short}, "exec sleep 60")
		begin := time.Now()
		p.AbortAfterGrace(errEnough)
		p.AbortAfterGrace(errors.New("too late"))
		outcome := p.Wait()
		Expect(time.Since(begin)).To(BeNumerically(">=", short))
		Expect(outcome.Killed).To(Equal(errEnough))
		Expect(outcome.Cut).To(Equal(errEnough))
	})

	It("ends with its context, as long as it is not waited for", func() {
		ctx, cancel := context.WithCancelCause(context.Background())
		p := start(Spec{}, "exec sleep 60")
		p.OnEnd(ctx, func() { p.Abort(context.Cause(ctx)) })
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
		p := start(Spec{}, "echo 1; read x") // of no input
		said, outcome := told(p)
		Expect(said).To(Equal("1\n"))
		Expect(outcome.Status).To(MatchError("exit status 1"))

		cmd := exec.Command("/bin/true")
		Expect(cmd.Start()).To(Succeed())
		_, err := unix.Wait4(cmd.Process.Pid, nil, 0, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(wait(cmd)).To(And(MatchError(syscall.ECHILD), MatchError(ContainSubstring("status unknown"))))
		Expect(wait(&exec.Cmd{})).To(MatchError(syscall.ECHILD))
	})

	It("whose descendant holds its pipes is waited for no longer than the grace period", func() {
		p := start(Spec{Grace: short}, "echo 1; echo 2 >&2; sleep 20 &")
		begin := time.Now()
		b, err := io.ReadAll(p.Answer)
		Expect(err).To(Equal(ErrHeld))
		Expect(string(b)).To(Equal("1\n"))
		outcome := p.Wait()
		Expect(time.Since(begin)).To(And(BeNumerically(">=", short), BeNumerically("<", 15*time.Second)), "the descendant lives for 20")
		Expect(outcome.Stderr).To(Equal("2\n"))
		Expect(outcome.Status).NotTo(HaveOccurred())
	})

	It("whose descendant holds its pipes is not waited for once it is aborted", func() {
		p := start(Spec{}, "echo 1; echo 2 >&2; sleep 20 & echo 3")
		<-p.Exited()
		p.Abort(errEnough)
		b, err := io.ReadAll(p.Answer)
		Expect(err).To(Equal(ErrHeld))
		Expect(string(b)).To(Equal("1\n3\n"))
		outcome := p.Wait()
		Expect(outcome.Stderr).To(Equal("2\n"))
		Expect(outcome.Cut).To(Equal(errEnough))
		Expect(outcome.Killed).To(BeNil())
	})

})

var _ = Describe("stdin", func() {

	It("takes as much as fits before the child starts", func() {
		p := start(Spec{Input: []byte("small")}, "exit 1")
		Expect(p.rest).To(BeEmpty())
		_ = p.Wait()
		p = start(Spec{Input: make([]byte, 4<<20)}, "wc -c")
		Expect(len(p.rest)).To(And(BeNumerically("<", 4<<20), BeNumerically(">", 0)))
		sent := p.Send()
		said, _ := told(p)
		Expect(strings.TrimSpace(said)).To(Equal("4194304"))
		Eventually(sent).Should(Receive(BeNil()))
	})

	It("need not be read to its end", func() {
		p := start(Spec{Input: make([]byte, 4<<20), Grace: short}, "exit 0")
		sent := p.Send()
		_ = p.Wait()
		var err error
		Eventually(sent).Should(Receive(&err))
		Expect(err).To(MatchError(syscall.EPIPE))
		Expect(err).To(MatchError(ContainSubstring("child did not read it to its end")))
	})

	It("need not be read to its end by a descendant either", func() {
		p := start(Spec{Input: make([]byte, 4<<20), Grace: short}, "exec 3<&0; sleep 20 >/dev/null 2>&1 <&3 & exit 0")
		sent := p.Send()
		_ = p.Wait()
		Eventually(sent).Should(Receive(MatchError(syscall.EPIPE)))
	})

	It("stays open where more is to come", func() {
		p := start(Spec{Open: true, Input: []byte("a\n")}, "cat")
		line := make([]byte, 2)
		Expect(io.ReadFull(p.Answer, line)).To(Equal(2))
		Expect(p.Stdin.WriteString("b\n")).To(Equal(2))
		Expect(io.ReadFull(p.Answer, line)).To(Equal(2))
		Expect(string(line)).To(Equal("b\n"))
		Expect(p.Stdin.Close()).To(Succeed())
		_, outcome := told(p)
		Expect(outcome.Status).NotTo(HaveOccurred())
	})

})

var _ = DescribeTable("an answer", func(script string, expected any, message string) {
	spec := Spec{Grace: time.Minute}
	if longer := regexp.MustCompile("sleep (60|2|0.1)"); longer.MatchString(script) {
		spec.Grace = short
	}
	p := start(spec, script)
	var result any
	seen, err := p.Decode(&result)
	outcome := p.Wait()
	if message != "" {
		Expect(err).To(MatchError(ContainSubstring(message)))
		Expect(seen).To(Equal(expected))
		return
	}
	Expect(err).NotTo(HaveOccurred())
	Expect(seen).To(BeEmpty())
	Expect(reflect.DeepEqual(result, expected)).To(BeTrue(), "%v", result)
	Expect(outcome.Killed).To(Or(BeNil(), Equal(ErrLingers)))
},
	Entry("a number", "echo 42", 42., ""),
	Entry("a number without newline", "printf ' 42'", 42., ""),
	Entry("a number in pieces", "printf 4; sleep 0.02; printf 2; sleep 0.02; echo 1", 421., ""),
	Entry("a word", "printf true", true, ""),
	Entry("a word in pieces, which is none before its end", "printf tr; sleep 0.1; printf ue", true, ""),
	Entry("nothing but null", "printf null", nil, ""),
	Entry("a text", `printf '"text"'`, "text", ""),
	Entry("a text in pieces", `printf '\n"te'; sleep 0.1; printf '\\"xt"'`, `te"xt`, ""),
	Entry("a text of escapes, in pieces", `printf '"\\'; sleep 0.02; printf '\\\\'; sleep 0.02; printf '"a\\\\'; sleep 0.02; printf '"'`, `\"a\`, ""),
	Entry("a list", "printf '[1,[2]]'", []any{1., []any{2.}}, ""),
	Entry("an object in pieces", `printf '{"a":1'; sleep 0.1; printf '}'`, map[string]any{"a": 1.}, ""),
	Entry("more than one", "echo 1 2", 1., ""),
	Entry("a number, and the child lingers", "printf 42; exec sleep 60", 42., ""),
	Entry("a text, and the child lingers", `printf '"a"'; exec sleep 60`, "a", ""),
	Entry("an object, and the child lingers", "printf '{}'; exec sleep 60", map[string]any{}, ""),
	Entry("a number, and a descendant holds the pipe", "printf 42; sleep 20 &", 42., ""),
	Entry("a list, and a descendant holds the pipe", "printf '[]'; sleep 20 &", []any{}, ""),
	Entry("nothing", "", "", "EOF"),
	Entry("half of one", `printf '{"a":'`, `{"a":`, "unexpected EOF"),
	Entry("half of one, and a descendant holds the pipe", `printf '{"a":'; sleep 20 &`, `{"a":`, ErrHeld.Error()),
	Entry("nothing, and a descendant holds the pipe", `sleep 20 &`, "", ErrHeld.Error()),
	Entry("nonsense", "printf 'no, sorry'; sleep 0.02; printf ' for that'", "no, sorry for that", "invalid character 'o'"),
	Entry("nonsense, and the child lingers", "printf '?'; exec sleep 60", "?", "invalid character '?'"),
)

var _ = Describe("an answer", func() {

	It("is dropped where none is wanted", func() {
		p := start(Spec{}, "echo not JSON")
		Expect(p.Decode(nil)).To(BeEmpty())
		Expect(p.Wait().Status).NotTo(HaveOccurred())
	})

	It("may be a long text, of which nobody looks at anything twice", func() {
		r := &answerReader{}
		for _, piece := range []string{" \n", ` "`, strings.Repeat("x", 1<<16), strings.Repeat(`\"`, 1<<16), `\`, `"`, `\\`} {
			r.look([]byte(piece))
			Expect(r.complete).To(BeFalse())
			Expect(len(r.scalar)).To(BeNumerically("<=", 2))
		}
		r.look([]byte(`"`))
		Expect(r.complete).To(BeTrue())
		r.look([]byte("\n"))
		Expect(r.complete).To(BeTrue())
	})

})

var _ = Describe("the calling thread", func() {

	It("is known to be locked", func() {
		Expect(isLocked()).To(BeFalse())
		runtime.LockOSThread()
		Expect(isLocked()).To(BeTrue())
		runtime.UnlockOSThread()
		Expect(isLocked()).To(BeFalse())
	})

	It("is the parent of a child that is to die with it, and so is locked meanwhile", func() {
		dies := func(script string) func(*exec.Cmd) {
			return func(cmd *exec.Cmd) {
				shell(script)(cmd)
				cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
			}
		}
		p := start(Spec{Tune: dies("echo $gons_reexec_pdeath $gons_reexec_parent")}, "")
		Expect(isLocked()).To(BeTrue())
		said, _ := told(p)
		Expect(said).To(MatchRegexp(`^15 \d\n$`))
		p.Close()
		Expect(isLocked()).To(BeFalse())

		p = start(Spec{Tune: dies("read x"), Open: true, Roams: true}, "")
		Expect(isLocked()).To(BeFalse(), "the child of a worker has a thread of its own")
		p.Close()
	})

	It("leaves the caller's attributes alone", func() {
		attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setsid: true}
		cmd := &exec.Cmd{SysProcAttr: attr}
		var order orders.Orders
		files, err := takeDeathSignal(cmd, &order)
		Expect(err).NotTo(HaveOccurred())
		closeAll(files)
		Expect(order.Death).To(Equal(int(syscall.SIGTERM)))
		Expect(attr.Pdeathsig).To(Equal(syscall.SIGTERM))
		Expect(cmd.SysProcAttr).To(Equal(&syscall.SysProcAttr{Setsid: true}))
	})

})

var _ = DescribeTable("new namespaces", func(attr *syscall.SysProcAttr, kinds string, expected syscall.SysProcAttr) {
	cmd := &exec.Cmd{SysProcAttr: attr}
	Expect(unshare(cmd, strings.Fields(kinds))).To(Succeed())
	Expect(*cmd.SysProcAttr).To(Equal(expected))
	if attr != nil {
		Expect(cmd.SysProcAttr).NotTo(BeIdenticalTo(attr), "it is the caller's")
	}
},
	Entry("without root", nil, "uts ipc net pid cgroup", syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWCGROUP}),
	Entry("by way of unshare(2)", nil, "mnt time", syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWTIME}),
	Entry("as root of a new user namespace", &syscall.SysProcAttr{Setsid: true}, "user", syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, Setsid: true,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}}),
	Entry("as the caller wants it", &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: []syscall.SysProcIDMap{{ContainerID: 5, Size: 1}}}, "mnt", syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: []syscall.SysProcIDMap{{ContainerID: 5, Size: 1}}, Unshareflags: unix.CLONE_NEWNS}),
)

var _ = It("is told what to do about namespaces that cannot be had", func() {
	plain, namespaced := &exec.Cmd{}, &exec.Cmd{SysProcAttr: &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}}
	Expect(explainNew(plain, syscall.EPERM)).To(Equal(syscall.EPERM))
	Expect(explainNew(namespaced, syscall.EPERM)).To(And(MatchError(syscall.EPERM), MatchError(ContainSubstring("CAP_SYS_ADMIN"))))
})
