package integration

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
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

// A gate holds functions in a child until the spec lets them pass. A function says on stderr
// that it is there.
type gate struct {
	stderr *gbytes.Buffer
	w      *os.File
	r      *os.File
}

// newGate makes a gate, whose options are for the child.
func newGate() *gate {
	GinkgoHelper()
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		_ = r.Close()
		_ = w.Close()
	})
	return &gate{stderr: gbytes.NewBuffer(), r: r, w: w}
}

// options add the gate to others.
func (g *gate) options(more ...reexec.ReexecActionOption) []reexec.ReexecActionOption {
	return append([]reexec.ReexecActionOption{
		reexec.Stderr(g.stderr),
		reexec.Cmd(func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{g.r} }),
	}, more...)
}

// pass lets so many functions pass.
func (g *gate) pass(n int) {
	GinkgoHelper()
	_, err := g.w.Write(make([]byte, n))
	Expect(err).NotTo(HaveOccurred())
}

// says waits until a function has said something.
func (g *gate) says(text string) {
	GinkgoHelper()
	Eventually(g.stderr).Should(gbytes.Say(text))
}

// said counts what functions have said.
func (g *gate) said(text string) int { return strings.Count(string(g.stderr.Contents()), text) }

// ask asks a function's gate, in the child.
var ask = sync.OnceValue(func() *os.File { return os.NewFile(3, "gate") })

// enter says something, and waits for the gate to let it pass.
func enter(text string) {
	fmt.Fprintln(os.Stderr, text)
	_, _ = ask().Read(make([]byte, 1))
}

// start starts a worker that is closed at the end of the spec.
func start[P, R any](f reexec.Func[P, R], options ...reexec.ReexecActionOption) *reexec.Worker[P, R] {
	GinkgoHelper()
	w, err := f.Start(background, options...)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = w.Close() })
	return w
}

// An outcome is what a call has returned.
type outcome[R any] struct {
	result R
	err    error
}

// goCall calls in a goroutine of its own.
func goCall[P, R any](call func(context.Context, P) (R, error), ctx context.Context, param P) <-chan outcome[R] {
	done := make(chan outcome[R], 1)
	go func() {
		result, err := call(ctx, param)
		done <- outcome[R]{result, err}
	}()
	return done
}

// end waits for what a call returns.
func end[R any](done <-chan outcome[R]) (R, error) {
	GinkgoHelper()
	var o outcome[R]
	Eventually(done).Should(Receive(&o))
	return o.result, o.err
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

// isOver tells whether a channel is closed.
func isOver(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// ofGrace is the option GracePeriod.
func ofGrace(d time.Duration) reexec.ReexecActionOption { return reexec.GracePeriod(d) }

// silently drops stderr.
var silently = reexec.Stderr(io.Discard)
