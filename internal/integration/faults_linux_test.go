package integration

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// faults are what befalls a parent between CheckAction and the run of an action.
var faults = map[string]func() error{
	"deleted":  func() error { return os.Remove(os.Args[0]) },
	"replaced": func() error { return os.Rename(os.Args[0]+".new", os.Args[0]) },
	"no /proc": func() error { return unix.Mount("tmpfs", "/proc", "tmpfs", 0, "") },
	"no processes": func() error {
		return syscall.Setrlimit(unix.RLIMIT_NPROC, &syscall.Rlimit{Cur: 0, Max: 0})
	},
}

// A parent with a fault meets it, then runs an action, and prints its answer and its
// error.
func init() {
	specs.Roles["parent with a fault"] = asParent(func(args []string) {
		if err := faults[args[0]](); err != nil {
			fmt.Println("cannot make fault:", err)
			os.Exit(1)
		}
		var answer string
		err := reexec.RunReexecAction("answer", reexec.Result(&answer))
		fmt.Println("answer:", answer)
		fmt.Println("error:", err)
		fmt.Println("EAGAIN:", errors.Is(err, syscall.EAGAIN))
	})
}

var _ = Describe("faults", func() {

	// suffer returns what a process with a fault prints. Its executable is its own.
	suffer := func(fault string, attr *syscall.SysProcAttr) string {
		GinkgoHelper()
		dir := GinkgoT().TempDir()
		for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
			Expect(os.Chmod(d, 0o755)).To(Succeed())
		}
		program := filepath.Join(dir, "program")
		in, err := os.Open("/proc/self/exe")
		Expect(err).NotTo(HaveOccurred())
		defer in.Close()
		out, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
		Expect(err).NotTo(HaveOccurred())
		_, err = io.Copy(out, in)
		Expect(err).NotTo(HaveOccurred())
		Expect(out.Close()).To(Succeed())
		Expect(os.WriteFile(program+".new", []byte("#!/bin/false\n"), 0o755)).To(Succeed())

		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), specs.Role("parent with a fault", fault))
		cmd.SysProcAttr = attr
		text, err := cmd.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", text)
		return string(text)
	}

	It("runs although its executable has been deleted", func() {
		Expect(suffer("deleted", nil)).To(HavePrefix("answer: done\nerror: <nil>\n"))
	})

	It("runs the same program although its executable has been replaced", func() {
		Expect(suffer("replaced", nil)).To(HavePrefix("answer: done\nerror: <nil>\n"))
	})

	It("says that /proc is not mounted", func() {
		Expect(suffer("no /proc", inNewMountNamespace())).To(ContainSubstring("error: gons/reexec: ReexecAction.Run: " +
			"cannot start child, reason: fork/exec /proc/self/exe: no such file or directory (/proc is not mounted, or"))
	})

	It("does not blame /proc for another file that is missing", func() {
		err := reexec.RunReexecAction("silent", reexec.Cmd(func(cmd *exec.Cmd) { cmd.Dir = "/does/not/exist" }))
		Expect(err).To(MatchError(HaveSuffix("no such file or directory")))
	})

	It("says that there can be no more processes", func() {
		attr := &syscall.SysProcAttr{}
		if os.Geteuid() == 0 { // whom the limit does not concern
			specs.NeedsNobody()
			attr.Credential = specs.Nobody
		}
		Expect(suffer("no processes", attr)).To(And(
			ContainSubstring("error: gons/reexec: ReexecAction.Run: cannot start child, reason: "),
			ContainSubstring("EAGAIN: true")))
	})

	DescribeTable("reports children that are killed at any point",
		func(types ...string) {
			n := newNeighbour("user", "pid", "net")
			namespaces := reexec.Namespaces(n.namespaces(types...))
			needsToSee(namespaces)
			param := strings.Repeat("x", 1<<20) // takes its time to be sent and answered
			for range 25 {
				done := make(chan error, 1)
				go func() {
					answer, err := reflect.Call(background, param, namespaces)
					if err == nil && answer != param {
						err = errors.New("wrong answer")
					}
					done <- err
				}()
				var victims []int
				Eventually(func() []int {
					victims = others(n.PID)
					return victims
				}).WithPolling(100 * time.Microsecond).Should(Or(HaveLen(1), WithTransform(
					func([]int) int { return len(done) }, BeNumerically(">", 0))))
				time.Sleep(time.Duration(rand.N(8000)) * time.Microsecond)
				for _, victim := range victims {
					_ = syscall.Kill(victim, syscall.SIGKILL)
				}
				err := <-done
				if err != nil {
					Expect(wasKilled(err)).To(BeTrue(), err.Error())
					asActionError(err)
				}
				Expect(others(n.PID)).To(BeEmpty())
			}

			// Those were random; this one is served for sure.
			_, err := hang.Call(background, "hang", namespaces, reexec.Stderr(writerFunc(func(b []byte) (int, error) {
				for _, victim := range others(n.PID) {
					_ = syscall.Kill(victim, syscall.SIGKILL)
				}
				return len(b), nil
			})))
			Expect(wasKilled(err)).To(BeTrue(), err.Error())
			asActionError(err)
		},
		Entry("without namespaces"),
		Entry("in namespaces", "!user", "!net"),
		Entry("in a PID namespace", "!user", "!pid"),
	)

})

// needsToSee skips a spec where /proc does not show the children of these options (hidepid).
func needsToSee(namespaces reexec.ReexecActionOption) {
	GinkgoHelper()
	before := len(children())
	worker, err := double.Start(background, namespaces)
	Expect(err).NotTo(HaveOccurred())
	defer worker.Close()
	if len(children()) == before {
		Skip("/proc does not show children in namespaces")
	}
}

// others returns the PIDs of the children but for one.
func others(pid int) (pids []int) {
	for _, child := range children() {
		if other := firstWord(child); other != pid {
			pids = append(pids, other)
		}
	}
	return pids
}
