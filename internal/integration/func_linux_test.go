package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// Functions for specs that need Linux.
var (
	whereami = reexec.RegisterFunc("whereami", func(struct{}) (map[string]string, error) {
		ids := map[string]string{}
		for _, ns := range specs.NamespaceFlags {
			var err error
			if ids[ns.Kind], err = os.Readlink("/proc/thread-self/ns/" + ns.Kind); err != nil {
				return nil, err
			}
		}
		return ids, nil
	})
	noisy = reexec.RegisterFunc("noisy", func(struct{}) (string, error) {
		fmt.Println("print")
		_, _ = os.Stdout.WriteString(strings.Repeat("x", 1<<18) + "\n")
		fmt.Fprintln(os.Stderr, "to stderr")
		program := exec.Command("/bin/sh", "-c", "echo program; echo to stderr >&2; cat")
		program.Stdin, program.Stdout, program.Stderr = os.Stdin, os.Stdout, os.Stderr
		if err := program.Run(); err != nil {
			return "", err
		}
		raw := exec.Command("/bin/sh", "-c", "cat; ls /proc/self/fd; env")
		raw.Stdin = os.NewFile(0, "stdin")
		out, err := raw.Output()
		return string(out), err
	})
	suicide = reexec.RegisterFunc("suicide", func(signal int) (int, error) {
		_ = syscall.Kill(os.Getpid(), syscall.Signal(signal))
		select {}
	})
)

var _ = Describe("functions on Linux", func() {

	DescribeTable("run in namespaces",
		func(types ...string) {
			n := newNeighbour("user", "mnt", "cgroup", "ipc", "net", "pid", "uts")
			for _, by := range ways[struct{}, map[string]string]() {
				ids, err := by(whereami, struct{}{}, reexec.Namespaces(n.namespaces(types...)))
				Expect(err).NotTo(HaveOccurred())
				for _, typ := range types {
					Expect(ids).To(HaveKeyWithValue(kind(typ), n.ID(kind(typ))))
				}
			}
		},
		Entry(nil, "!user", "!net"),
		Entry(nil, "!user", "!pid"),
		Entry(nil, "!user", "!mnt", "!cgroup", "!ipc", "!net", "!pid", "!uts"),
	)

	It("are not disturbed by what they print", func() {
		var result string
		stdout, stderr := capture(func() {
			var err error
			result, err = noisy.Call(background, struct{}{})
			Expect(err).NotTo(HaveOccurred())
			result, err = byWorker(noisy, struct{}{})
			Expect(err).NotTo(HaveOccurred())
		})
		Expect(stdout).To(Equal(strings.Repeat("print\n"+strings.Repeat("x", 1<<18)+"\nprogram\n", 2)))
		Expect(stderr).To(Equal(strings.Repeat("to stderr\nto stderr\n", 2)))
		Expect(result).NotTo(ContainSubstring("gons_"))
	})

	It("send stderr where one wants it", func() {
		var heard bytes.Buffer
		stdout, stderr := capture(func() {
			_, err := noisy.Call(background, struct{}{}, reexec.Stderr(&heard))
			Expect(err).NotTo(HaveOccurred())
		})
		Expect(stdout).To(ContainSubstring("print"))
		Expect(stderr).To(BeEmpty())
		Expect(heard.String()).To(Equal("to stderr\nto stderr\n"))
	})

	It("report a failed switch, and print nothing", func() {
		specs.NeedsCgo()
		nowhere := reexec.Namespaces([]reexec.Namespace{{Type: "!net", Path: "/nowhere"}})
		stdout, stderr := capture(func() {
			_, err := double.Call(background, 1, nowhere)
			Expect(err).To(MatchError(`gons/reexec: function "double": package gons: invalid gons_net reference "/nowhere": No such file or directory`))
			asActionError(err)
			_, err = double.Start(background, nowhere)
			Expect(err).To(MatchError(ContainSubstring("package gons: invalid gons_net reference")))
			_, err = double.Start(background, reexec.Namespaces([]reexec.Namespace{{Type: "!pid", Path: "/nowhere"}}))
			Expect(err).To(MatchError(ContainSubstring("package gons: invalid gons_pid reference")))
		})
		Expect(stdout + stderr).To(BeEmpty())
	})

	It("report a failed switch also where the child calls RunAction", func() {
		specs.NeedsCgo()
		variable, value, _ := strings.Cut(specs.Role("program that calls RunAction"), "=")
		GinkgoT().Setenv(variable, value)
		_, err := double.Call(background, 1, reexec.Namespaces([]reexec.Namespace{{Type: "!net", Path: "/nowhere"}}))
		Expect(err).To(MatchError(ContainSubstring("package gons: invalid gons_net reference")))
		Expect(double.Call(background, 1)).To(Equal(2))
	})

	It("report a signal", func() {
		quiet := reexec.Stderr(&bytes.Buffer{})
		for _, by := range ways[int, int]() {
			_, err := by(suicide, int(syscall.SIGTERM), quiet)
			Expect(err).To(MatchError(ContainSubstring("signal: terminated")))
			var exit *exec.ExitError
			Expect(errors.As(asActionError(err), &exit)).To(BeTrue())
			_, err = by(suicide, int(syscall.SIGKILL), quiet)
			Expect(err).To(MatchError(ContainSubstring("signal: killed")))
		}
	})

	It("are killed if they do not end after Close", func() {
		w, err := pid.Start(background, reexec.GracePeriod(50*time.Millisecond))
		Expect(err).NotTo(HaveOccurred())
		child, err := w.Call(background, struct{}{})
		Expect(err).NotTo(HaveOccurred())
		Expect(syscall.Kill(child, syscall.SIGSTOP)).To(Succeed())
		Expect(w.Close()).To(Succeed())
		Expect(w.Close()).To(Succeed())
	})

	It("end when their parent ends", func() {
		parent := specs.Child("parent of an idle worker")
		stdout, err := parent.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(parent.Start()).To(Succeed())
		var worker int
		_, err = fmt.Fscan(stdout, &worker)
		Expect(err).NotTo(HaveOccurred())
		Expect(alive(worker)).To(Succeed())
		Expect(parent.Process.Kill()).To(Succeed())
		_ = parent.Wait()
		Eventually(func() error { return alive(worker) }).Should(MatchError(syscall.ESRCH))
	})

	It("keep the thread that a Pdeathsig is about", func() {
		w, err := double.Start(background, reexec.Cmd(func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
		}))
		Expect(err).NotTo(HaveOccurred())
		for range 100 {
			Expect(w.Call(background, 1)).To(Equal(2))
		}
		Expect(w.Close()).To(Succeed())
	})

})

// A parent of an idle worker tells the worker's PID, and waits for its own end.
func init() {
	specs.Roles["parent of an idle worker"] = asParent(func([]string) {
		w, err := pid.Start(background)
		if err != nil {
			panic(err)
		}
		fmt.Println(w.Call(background, struct{}{}))
		select {}
	})
}
