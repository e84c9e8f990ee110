package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// A special parent is the test binary as another program, with a process group of
// its own, which ends with the spec.
type specialParent struct {
	*exec.Cmd
	report *bufio.Reader // what it prints to its stdout, or to descriptor 3
	ended  chan error
}

// startParent starts a special parent, which may be tuned. What it reports comes from its
// stdout, or, if its stdout is tuned, from its descriptor 3.
func startParent(cmd *exec.Cmd) *specialParent {
	GinkgoHelper()
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	if cmd.Stdout == nil {
		cmd.Stdout = w
	} else {
		cmd.ExtraFiles = []*os.File{w}
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	err = cmd.Start()
	_ = w.Close()
	DeferCleanup(r.Close)
	Expect(err).NotTo(HaveOccurred())
	p := &specialParent{Cmd: cmd, report: bufio.NewReader(r), ended: make(chan error, 1)}
	go func() { p.ended <- cmd.Wait() }()
	DeferCleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // fails if there is nobody left
		Eventually(p.ended).Should(Receive())
	})
	return p
}

// await expects the parent to end, in time and without an error, and returns all that it
// has reported.
func (p *specialParent) await() string {
	GinkgoHelper()
	report := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(p.report)
		report <- string(all)
	}()
	var err error
	Eventually(p.ended).WithTimeout(moment).Should(Receive(&err), "it hangs")
	p.ended <- nil
	_ = syscall.Kill(-p.Process.Pid, syscall.SIGKILL) // whoever still holds its stdout
	var all string
	Eventually(report).Should(Receive(&all))
	Expect(err).NotTo(HaveOccurred(), "%s", all)
	return all
}

// next returns the next line that the parent reports.
func (p *specialParent) next() string {
	GinkgoHelper()
	line := make(chan string, 1)
	go func() {
		next, _ := p.report.ReadString('\n')
		line <- strings.TrimSuffix(next, "\n")
	}()
	var next string
	Eventually(line).WithTimeout(moment).Should(Receive(&next), "it does not report")
	return next
}

// A checker is for special parents: it reports what is not as it should be.
type checker struct{ io.Writer }

func (c checker) Succeed(what string, err error) {
	if err != nil {
		fmt.Fprintf(c, "%s: %v\n", what, err)
	}
}

func (c checker) Equal(what string, got, want any) {
	if got != want {
		fmt.Fprintf(c, "%s: %v instead of %v\n", what, got, want)
	}
}

// everything runs an action of each kind, and functions, which must all succeed.
func (c checker) everything(options ...reexec.ReexecActionOption) {
	n, err := double.Call(background, 21, options...)
	c.Succeed("call", err)
	c.Equal("result of call", n, 42)

	w, err := double.Start(background, options...)
	c.Succeed("start", err)
	if err == nil {
		for i := range 3 {
			n, err := w.Call(background, i)
			c.Succeed("worker's call", err)
			c.Equal("result of worker's call", n, 2*i)
		}
		if err := w.Close(); err != nil && !errors.Is(err, syscall.ECHILD) {
			c.Succeed("close", err)
		}
	}

	var done, echo string
	c.Succeed("action", reexec.RunReexecAction("answer", append(options, reexec.Result(&done))...))
	c.Equal("answer of action", done, "done")
	c.Succeed("action with parameter", reexec.RunReexecAction("echo", append(options, reexec.Param("x"), reexec.Result(&echo))...))
	c.Equal("answer of action with parameter", echo, "x")
}

func init() {
	specs.Roles["parent that loses the status of its children"] = asParent(func(args []string) {
		switch args[0] {
		case "ignored":
			signal.Ignore(syscall.SIGCHLD)
		case "reaped":
			for range 4 {
				go func() {
					for {
						if _, err := syscall.Wait4(-1, nil, 0, nil); err == syscall.ECHILD {
							time.Sleep(100 * time.Microsecond) // there is no child
						}
					}
				}()
			}
		}
		c := checker{os.Stdout}
		c.everything() // whatever lasts is there
		debug.SetGCPercent(-1)
		files := countFiles()
		for range 10 {
			c.everything()
			// These have nothing to show but the status.
			_, err := exit.Call(background, 3, reexec.Stderr(io.Discard))
			c.unknown("call without an answer", err)
			c.unknown("action", reexec.RunReexecAction("status"))
			c.unknown("action without an answer", reexec.RunReexecAction("status", reexec.Result(new(int))))
			err = reexec.RunReexecAction("fail", reexec.Result(new(string)))
			c.Equal("action that complains", err != nil, true)
		}
		for begin := time.Now(); countFiles() > files && time.Since(begin) < moment/2; time.Sleep(time.Millisecond) {
		}
		c.Equal("open files", countFiles(), files)
		fmt.Println("end")
	})

	specs.Roles["parent that lacks something"] = asParent(func(args []string) {
		report := os.NewFile(3, "report")
		syscall.CloseOnExec(3)
		c := checker{report}
		var options []reexec.ReexecActionOption
		for _, what := range args {
			switch what {
			case "stdin":
				c.Succeed(what, os.Stdin.Close())
			case "stdout":
				c.Succeed(what, os.Stdout.Close())
			case "stderr":
				c.Succeed(what, os.Stderr.Close())
			case "/dev/null":
				c.Succeed(what, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
				c.Succeed(what, unix.Mount("tmpfs", "/dev", "tmpfs", 0, ""))
			default:
				var namespaces []reexec.Namespace
				for _, path := range strings.Split(what, " ") {
					namespaces = append(namespaces, reexec.Namespace{Type: "!" + filepath.Base(path), Path: path})
				}
				options = append(options, reexec.Namespaces(namespaces))
			}
		}
		c.everything(options...)
		ms, err := slow.Call(background, 1, options...)
		c.Succeed("call that writes to stderr", err)
		c.Equal("result of call that writes to stderr", ms, 1)
		fmt.Fprintln(report, "end")
	})

	specs.Roles["parent that calls for its life"] = asParent(func(args []string) {
		switch args[0] {
		case "worker":
			w, err := untilDeath.Start(background, reexec.Stderr(os.Stdout), reexec.GracePeriod(time.Second))
			if err != nil {
				panic(err)
			}
			fmt.Println(w.Call(background, args[1]))
		case "call":
			fmt.Println(untilDeath.Call(background, args[1], reexec.Stderr(os.Stdout), reexec.GracePeriod(time.Second)))
		}
	})

	specs.Roles["parent whose stderr fails"] = asParent(func([]string) {
		c := checker{os.Stdout}
		for range 3 {
			_, err := slow.Call(background, 1)
			c.Succeed("call", err)
		}
		w, err := slow.Start(background)
		c.Succeed("start", err)
		for range 3 {
			_, err := w.Call(background, 1)
			c.Succeed("worker's call", err)
		}
		c.Succeed("close", w.Close())
		fmt.Println("end")
	})

	specs.Roles["parent whose stderr blocks"] = asParent(func([]string) {
		c := checker{os.Stdout}
		short := func() context.Context {
			ctx, cancel := context.WithTimeout(background, 100*time.Millisecond)
			context.AfterFunc(ctx, cancel)
			return ctx
		}
		_, err := hang.Call(short(), "hang")
		c.Equal("call ends with its context", errors.Is(err, context.DeadlineExceeded), true)
		w, err := hang.Start(background, reexec.GracePeriod(50*time.Millisecond))
		c.Succeed("start", err)
		_, err = w.Call(short(), "hang")
		c.Equal("worker's call ends with its context", errors.Is(err, context.DeadlineExceeded), true)
		_ = w.Close()
		w, err = hang.Start(background, reexec.GracePeriod(50*time.Millisecond))
		c.Succeed("start", err)
		go func() { _, _ = w.Call(background, "hang") }()
		time.Sleep(50 * time.Millisecond)
		_ = w.Close()
		fmt.Println("end")
	})

	specs.Roles["parent of an idle worker that is interrupted"] = asParent(func([]string) {
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, os.Interrupt)
		w, err := double.Start(background)
		if err != nil {
			panic(err)
		}
		_, err = w.Call(background, 1)
		fmt.Println("ready", err)
		<-interrupted
		fmt.Println("close:", w.Close())
	})

	specs.Roles["parent without an epoll to be had"] = asParent(func([]string) {
		_, w, err := os.Pipe() // now the runtime has its own
		if err != nil {
			panic(err)
		}
		time.Sleep(time.Millisecond) // and what sleeping needs
		if err := denyEpoll(); err != nil {
			fmt.Println("skip:", err)
			return
		}
		_ = w
		// Whether children can do without is another matter: each run works, or is an
		// error, but ends.
		for _, run := range []func(ctx context.Context) error{
			func(ctx context.Context) error { _, err := double.Call(ctx, 1); return err },
			func(ctx context.Context) error { _, err := reflect.Call(ctx, strings.Repeat("x", 4<<20)); return err },
			func(ctx context.Context) error { return reexec.RunReexecActionContext(ctx, "answer") },
			func(ctx context.Context) error {
				return reexec.RunReexecActionContext(ctx, "answer", reexec.Param(strings.Repeat("x", 4<<20)))
			},
			func(ctx context.Context) error { return reexec.RunReexecActionContext(ctx, "say, then hang") },
			func(ctx context.Context) error {
				return reexec.RunReexecActionContext(ctx, "leave a program, then hang", reexec.Stderr(io.Discard))
			},
			func(ctx context.Context) error {
				w, err := reflect.Start(ctx)
				if err != nil {
					return err
				}
				_, err = w.Call(ctx, strings.Repeat("x", 4<<20))
				_ = w.Close()
				return err
			},
		} {
			ctx, cancel := context.WithTimeout(background, time.Second)
			err := run(ctx)
			cancel()
			if failed := (*reexec.ActionError)(nil); err != nil && !errors.As(err, &failed) {
				fmt.Println(err)
			}
		}
		fmt.Println("end")
	})

	reexec.Register("leave a program, then hang", func() {
		_, _ = syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, &syscall.ProcAttr{
			Env: os.Environ(), Files: []uintptr{0, 1, 2},
		})
		fmt.Fprint(os.Stderr, "hanging")
		select {}
	})
}

// unknown expects an error that tells of an unknown status. Maybe it was learnt in time.
func (c checker) unknown(what string, err error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		fmt.Fprintf(c, "%s: no error\n", what)
	case errors.As(err, &exit):
	case !errors.Is(err, syscall.ECHILD) || !strings.Contains(err.Error(), "status unknown"):
		fmt.Fprintf(c, "%s: status should be unknown: %v\n", what, err)
	}
}

// countFiles returns how many files are open.
func countFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(entries)
}

// untilDeath tells its PID on stderr, waits for the end of its parent, and then for more if
// the parameter says so. In the end it makes a file of that name.
var untilDeath = reexec.RegisterFunc("until death", func(param string) (int, error) {
	parent := os.Getppid()
	fmt.Fprintln(os.Stderr, os.Getpid())
	for os.Getppid() == parent {
		time.Sleep(time.Millisecond)
	}
	if param == "for ever" {
		select {}
	}
	return 0, os.WriteFile(param, nil, 0o600)
})

// denyEpoll has the kernel refuse to watch any more files, as it does when
// fs.epoll.max_user_watches is exhausted. This cannot be undone.
func denyEpoll() error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_EPOLL_CTL, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16 + 8}, // its second argument
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.EPOLL_CTL_ADD, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: seccompErrno | uint32(unix.ENOSPC)},
		{Code: unix.BPF_RET | unix.BPF_K, K: seccompAllow},
	}
	return filterSystemCalls(filter)
}

// What becomes of a system call (seccomp(2)).
const (
	seccompErrno = 0x0005_0000 // and the error
	seccompAllow = 0x7fff_0000
)

// filterSystemCalls sets a filter for all threads of this process, and all that it starts.
func filterSystemCalls(filter []unix.SockFilter) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	const setModeFilter, tsync = 1, 1
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, tsync, uintptr(unsafe.Pointer(&program)))
	if errno != 0 || thread != 0 {
		return os.NewSyscallError("seccomp", errors.Join(errno))
	}
	return nil
}

var _ = Describe("a parent", func() {

	DescribeTable("whose children's status somebody else takes, has their answers all the same",
		func(how string) {
			Expect(startParent(specs.Child("parent that loses the status of its children", how)).await()).To(Equal("end\n"))
		},
		Entry("since SIGCHLD is ignored", "ignored"),
		Entry("since it waits for any child", "reaped"),
	)

	Context("that lacks something", func() {

		// run runs such a parent, which has an open file for each of its standard files.
		run := func(attr *syscall.SysProcAttr, lacks ...string) {
			GinkgoHelper()
			cmd := specs.Child("parent that lacks something", lacks...)
			cmd.SysProcAttr = attr
			cmd.Stdout = GinkgoWriter
			Expect(startParent(cmd).await()).To(Equal("end\n"))
		}

		for _, lacks := range []string{"stdin", "stdout", "stderr", "stdin stdout stderr"} {

			It("works without "+lacks, func() { run(nil, strings.Fields(lacks)...) })

			It("works without /dev/null and "+lacks, func() {
				run(inNewMountNamespace(), append([]string{"/dev/null"}, strings.Fields(lacks)...)...)
			})

			It("works in a mount namespace without /dev/null and without "+lacks, func() {
				kinds := []string{"user", "mnt", "no /dev"}
				if specs.IsRoot() {
					kinds = kinds[1:]
				}
				n := newNeighbour(kinds...)
				var paths []string
				for _, ns := range n.namespaces(kinds[:len(kinds)-1]...) {
					paths = append(paths, ns.Path)
				}
				run(nil, append(strings.Fields(lacks), strings.Join(paths, " "))...)
			})

		}

		It("works without /dev/null", func() { run(inNewMountNamespace(), "/dev/null") })

		It("does not hang if the kernel watches no more files", func() {
			report := startParent(specs.Child("parent without an epoll to be had")).await()
			if strings.HasPrefix(report, "skip: ") {
				Skip(report)
			}
			Expect(report).To(Equal("end\n"))
		})

	})

	It("survives that its stderr is a broken pipe", func() {
		r, w, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(r.Close()).To(Succeed())
		defer w.Close()
		cmd := specs.Child("parent whose stderr fails")
		cmd.Stderr = w
		Expect(startParent(cmd).await()).To(Equal("end\n"))
	})

	It("is not kept by its stderr if that is a full pipe", func() {
		r, w, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		defer r.Close()
		defer w.Close()
		fill(w)
		cmd := specs.Child("parent whose stderr blocks")
		cmd.Stderr = w
		Expect(startParent(cmd).await()).To(Equal("end\n"))
	})

	It("finds on its stderr what a function has written, when the call returns", func() {
		r, stderr, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		defer r.Close()
		defer stderr.Close()
		defer func(old *os.File) { os.Stderr = old }(os.Stderr)
		os.Stderr = stderr
		w, err := say.Start(background)
		Expect(err).NotTo(HaveOccurred())
		missed := 0
		for range 200 {
			Expect(w.Call(background, 10)).To(Equal(10))
			waiting, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
			Expect(err).NotTo(HaveOccurred())
			if waiting < 10 {
				missed++
			}
			_, err = io.ReadFull(r, make([]byte, 10))
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(w.Close()).To(Succeed())
		Expect(missed).To(BeZero(), "calls that returned too early")
	})

	DescribeTable("that is killed, ends its child",
		func(how, param string) {
			finished := filepath.Join(GinkgoT().TempDir(), "finished")
			if param == "" {
				param = finished
			}
			parent := startParent(specs.Child("parent that calls for its life", how, param))
			child := atoi(parent.next())
			DeferCleanup(func() { _ = kill(child) }) // it may have been forgotten
			Expect(parent.Process.Kill()).To(Succeed())
			Eventually(func() error { return alive(child) }).WithTimeout(moment).Should(MatchError(syscall.ESRCH))
			if param == finished {
				Expect(finished).To(BeAnExistingFile(), "it had the grace period")
			}
		},
		Entry("which serves a call of a worker that takes for ever", "worker", "for ever"),
		Entry("which serves a call that takes for ever", "call", "for ever"),
		Entry("which serves a call of a worker that has an end", "worker", ""),
		Entry("which serves a call that has an end", "call", ""),
	)

	It("that is interrupted together with an idle worker, closes it", func() {
		parent := startParent(specs.Child("parent of an idle worker that is interrupted"))
		Expect(parent.next()).To(Equal("ready <nil>"))
		Expect(syscall.Kill(-parent.Process.Pid, syscall.SIGINT)).To(Succeed())
		Expect(parent.await()).To(Equal("close: <nil>\n"))
	})

})

// inNewMountNamespace has a process be in a mount namespace of its own, where it may
// mount.
func inNewMountNamespace() *syscall.SysProcAttr {
	GinkgoHelper()
	if specs.IsRoot() {
		return &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS} // also makes all mounts private
	}
	specs.NeedsNamespaces("user", "mnt")
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWNS | unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
}
