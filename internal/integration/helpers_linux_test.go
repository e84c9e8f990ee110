package integration

import (
	"context"
	"encoding/json"
	"fmt"
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
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"golang.org/x/sys/unix"
)

// A gate holds functions in a child until the spec lets them pass. A function says on stderr that it is there.
type gate struct {
	stderr *gbytes.Buffer
	r, w   *os.File
}

func newGate() *gate {
	GinkgoHelper()
	r, w := pipe()
	return &gate{stderr: gbytes.NewBuffer(), r: r, w: w}
}

func (g *gate) options(more ...option) []option {
	return append([]option{reexec.Stderr(g.stderr), withFiles(g.r)}, more...)
}

func (g *gate) pass(n int) {
	GinkgoHelper()
	must(g.w.Write(make([]byte, n)))
}

// says waits until a function has said something.
func (g *gate) says(text string) {
	GinkgoHelper()
	Eventually(g.stderr).Should(gbytes.Say(text))
}

func (g *gate) said(text string) int { return strings.Count(string(g.stderr.Contents()), text) }

var ask = sync.OnceValue(func() *os.File { return os.NewFile(3, "gate") })

// enter says something, and waits for the gate to let it pass.
func enter(text string) {
	fmt.Fprintln(os.Stderr, text)
	_, _ = ask().Read(make([]byte, 1))
}

type outcome[R any] struct {
	result R
	err    error
}

// goCall calls in a goroutine of its own.
func goCall[P, R any](call func(context.Context, P) (R, error), ctx context.Context, param P) <-chan outcome[R] {
	done := make(chan outcome[R], 1)
	go func() { result, err := call(ctx, param); done <- outcome[R]{result, err} }()
	return done
}

// end waits for what a call returns.
func end[R any](done <-chan outcome[R]) (R, error) {
	GinkgoHelper()
	var o outcome[R]
	Eventually(done).Should(Receive(&o))
	return o.result, o.err
}

func goCalls[P, R any](n int, call func(context.Context, P) (R, error), ctx context.Context, param func(i int) P) (calls []<-chan outcome[R]) {
	for i := range n {
		calls = append(calls, goCall(call, ctx, param(i)))
	}
	return calls
}

// begun is goCall, and waits until the function says that it has begun.
func begun[P, R any](g *gate, call func(context.Context, P) (R, error), ctx context.Context, param P) <-chan outcome[R] {
	GinkgoHelper()
	done := goCall(call, ctx, param)
	g.says("began")
	return done
}

// endAll waits for what calls return, and expects of each that its error, or that it has none, is like this.
func endAll[R any](calls []<-chan outcome[R], like OmegaMatcher) {
	GinkgoHelper()
	for _, call := range calls {
		result, err := end(call)
		Expect(err).To(like)
		if err != nil {
			Expect(result).To(BeZero())
		}
	}
}

// goroutinesIn returns the stacks of the goroutines that are in all of these functions.
func goroutinesIn(functions ...string) []string {
	stacks := make([]byte, 1<<20)
	all := strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
	return slices.DeleteFunc(all, func(stack string) bool {
		return slices.ContainsFunc(functions, func(function string) bool { return !strings.Contains(stack, function) })
	})
}

// cancelled makes a call, cancels it when its function has begun, and returns its error.
func cancelled[P, R any](g *gate, call func(context.Context, P) (R, error), param P) error {
	GinkgoHelper()
	ctx, cancel := context.WithCancelCause(background)
	done := goCall(call, ctx, param)
	g.says("began|hang")
	cancel(errEnough)
	result, err := end(done)
	Expect(err).To(MatchError(errEnough))
	Expect(result).To(BeZero())
	return err
}

// stop stops a child, until it is told to go on.
func stop(pid int) (goOn func()) {
	GinkgoHelper()
	Expect(syscall.Kill(pid, syscall.SIGSTOP)).To(Succeed())
	Expect(unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)).To(Succeed()) // all its threads have
	goOn = sync.OnceFunc(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	DeferCleanup(goOn)
	return goOn
}

func isOver(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func ofGrace(d time.Duration) option { return reexec.GracePeriod(d) }

// gated starts a worker whose functions a gate may hold.
func gated[P, R any](f reexec.Func[P, R], options ...option) (*gate, *reexec.Worker[P, R]) {
	GinkgoHelper()
	g := newGate()
	return g, start(f, g.options(options...)...)
}

// A neighbour is a process in namespaces of its own, to be visited by specs.
type neighbour struct{ *specs.Neighbour }

func newNeighbour(kinds ...string) *neighbour {
	GinkgoHelper()
	return &neighbour{specs.NewNeighbour(kinds...)}
}

// neighbourOf is the neighbour of this PID, which somebody else ends.
func neighbourOf(pid int) *neighbour { return &neighbour{&specs.Neighbour{PID: pid}} }

// namespace refers to the neighbour's namespace of a type, with or without bang.
func (n *neighbour) namespace(typ string) reexec.Namespace {
	return reexec.Namespace{Type: typ, Path: n.Path(strings.TrimPrefix(typ, "!"))}
}

func (n *neighbour) namespaces(types ...string) (namespaces []reexec.Namespace) {
	for _, typ := range types {
		namespaces = append(namespaces, n.namespace(typ))
	}
	return namespaces
}

// in is the option to join several of them.
func (n *neighbour) in(types ...string) option { return reexec.Namespaces(n.namespaces(types...)) }

// A role is what the test binary is a parent for instead of testing. It gets what the spec
// tells it, and what it returns is told to the spec.
var roles = map[string]func(args []string) any{}

func init() { specs.Roles["role"] = asParent(func(args []string) { answer(roles[args[0]](args[1:])) }) }

func withRole(name string, args ...string) *exec.Cmd {
	cmd := specs.Child("role", append([]string{name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	return cmd
}

// tellOf has a process play its role, and returns what it tells.
func tellOf[T any](cmd *exec.Cmd) (told T) {
	GinkgoHelper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	Expect(err).NotTo(HaveOccurred(), "%s%s", out, &stderr)
	Expect(json.Unmarshal(out, &told)).To(Succeed(), "%s%s", out, &stderr)
	return told
}

// children returns the status lines of the children of this process, zombies included.
func children() []string {
	if unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == unix.ECHILD {
		return nil // as usual, and found out much faster
	}
	return childrenOf(os.Getpid())
}

// kill kills a process, and never the group of this one, as would be that of PID 0.
func kill(pid int) error {
	if pid <= 0 {
		return unix.ESRCH
	}
	return unix.Kill(pid, unix.SIGKILL)
}

// killChildren kills those children that are left.
func killChildren() {
	for _, child := range children() {
		_ = kill(firstWord(child))
	}
}

func openFiles() int { return len(must(os.ReadDir("/proc/self/fd"))) }

func firstWord(line string) int {
	word, _, _ := strings.Cut(line, " ")
	return atoi(word)
}

// childPIDs lists the children of a process, zombies included; nothing where the kernel does not list them.
func childPIDs(parent int) (pids []string) {
	for _, list := range must(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))) {
		b, _ := os.ReadFile(list) // the thread may have just ended
		pids = append(pids, strings.Fields(string(b))...)
	}
	return pids
}

// childrenOf returns the status lines of the children of a process.
func childrenOf(parent int) (found []string) {
	var stats []string
	if _, err := os.Stat("/proc/thread-self/children"); err != nil {
		stats = must(filepath.Glob("/proc/[0-9]*/stat"))
	} else {
		for _, pid := range childPIDs(parent) {
			stats = append(stats, "/proc/"+pid+"/stat")
		}
	}
	for _, stat := range stats {
		line, err := os.ReadFile(stat)
		if err != nil {
			continue // has just gone
		}
		// The name, in parentheses, may contain anything; see proc(5).
		_, rest, _ := strings.Cut(string(line), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == itoa(parent) {
			found = append(found, string(line))
		}
	}
	return found
}

// strayThreads returns the namespaces of threads that differ from those which the process was started in.
func strayThreads() (found []string) {
	for _, link := range must(filepath.Glob("/proc/self/task/*/ns/*")) {
		home, err := os.Readlink(filepath.Join("/proc/self/ns", filepath.Base(link)))
		if err != nil {
			continue
		}
		if here, err := os.Readlink(link); err == nil && here != home {
			found = append(found, link+" "+here)
		}
	}
	return found
}

// inheritable returns the descriptors that any child of this process inherits.
func inheritable() (found []string) {
	for _, entry := range must(os.ReadDir("/proc/self/fd")) {
		flags, err := unix.FcntlInt(uintptr(atoi(entry.Name())), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		target, _ := os.Readlink("/proc/self/fd/" + entry.Name())
		found = append(found, entry.Name()+" "+target)
	}
	return found
}

// onOwnThread runs f on a thread of its own, which is thrown away.
func onOwnThread(f func()) {
	GinkgoHelper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer GinkgoRecover()
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the main thread cannot be thrown away
			defer runtime.UnlockOSThread()
			onOwnThread(f)
			return
		}
		f()
	}()
	<-done
}

// inNewNamespaces runs f on a thread in new namespaces, which is thrown away.
func inNewNamespaces(flags int, f func()) {
	GinkgoHelper()
	onOwnThread(func() {
		Expect(unix.Unshare(flags)).To(Succeed())
		f()
	})
	Eventually(strayThreads).Should(BeEmpty())
}

// dropPrivileges makes an ordinary user of the calling thread, and of no other, as package syscall would.
func dropPrivileges() {
	GinkgoHelper()
	if os.Geteuid() != 0 {
		return
	}
	for _, set := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
		_, _, errno := unix.RawSyscall(set, 65534, 65534, 65534)
		Expect(errno).To(BeZero())
	}
}

// alive returns an error if there is no such process, or just a zombie that awaits somebody else.
func alive(pid int) error {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
		return syscall.ESRCH
	}
	return syscall.Kill(pid, 0)
}

func withFiles(files ...*os.File) option {
	return reexec.Cmd(func(cmd *exec.Cmd) { cmd.ExtraFiles = files })
}

func withAttr(attr syscall.SysProcAttr) option {
	return reexec.Cmd(func(cmd *exec.Cmd) { attr := attr; cmd.SysProcAttr = &attr })
}

// mortal ends a child with its parent.
var mortal = withAttr(syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL})

// expectDeath kills a parent that has told the PID of its child, which then ends as well. This process reaps it: where the
// first process of the machine takes its time for that, the end of a PID namespace would do so, too.
func expectDeath(parent *exec.Cmd) {
	GinkgoHelper()
	Expect(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)).To(Succeed())
	DeferCleanup(unix.Prctl, unix.PR_SET_CHILD_SUBREAPER, uintptr(0), uintptr(0), uintptr(0), uintptr(0))
	stdout := must(parent.StdoutPipe())
	Expect(parent.Start()).To(Succeed())
	var child int
	must(fmt.Fscan(stdout, &child))
	Expect(alive(child)).To(Succeed())
	Expect(parent.Process.Kill()).To(Succeed())
	_ = parent.Wait()
	Eventually(func() error { return alive(child) }).Should(MatchError(syscall.ESRCH))
	_, _ = unix.Wait4(child, nil, 0, nil)
}
