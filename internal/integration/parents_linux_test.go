package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
	"github.com/onsi/gomega/gbytes"
	"golang.org/x/sys/unix"
)

// A special parent is the test binary as another program, with a process group of its own, which ends with the spec.
type specialParent struct {
	*exec.Cmd
	report *bufio.Reader // what it prints to its stdout, or to descriptor 3
	ended  chan error
}

// startParent starts a special parent, which may be tuned. What it reports comes from its
// stdout, or, if its stdout is tuned, from its descriptor 3.
func startParent(cmd *exec.Cmd) *specialParent {
	GinkgoHelper()
	r, w := pipe()
	if cmd.Stdout == nil {
		cmd.Stdout = w
	} else {
		cmd.ExtraFiles = []*os.File{w}
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	err := cmd.Start()
	_ = w.Close()
	Expect(err).NotTo(HaveOccurred())
	p := &specialParent{Cmd: cmd, report: bufio.NewReader(r), ended: make(chan error, 1)}
	go func() { p.ended <- cmd.Wait() }()
	DeferCleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // fails if there is nobody left
		Eventually(p.ended).Should(Receive())
	})
	return p
}

// await expects the parent to end, in time and without an error, and returns all that it has reported.
func (p *specialParent) await() string {
	GinkgoHelper()
	report := make(chan string, 1)
	go func() { all, _ := io.ReadAll(p.report); report <- string(all) }()
	err := received(p.ended, "it hangs")
	p.ended <- nil
	_ = syscall.Kill(-p.Process.Pid, syscall.SIGKILL) // whoever still holds its stdout
	var all string
	Eventually(report).Should(Receive(&all))
	Expect(err).NotTo(HaveOccurred(), "%s", all)
	return all
}

func (p *specialParent) next() string {
	GinkgoHelper()
	line := make(chan string, 1)
	go func() { next, _ := p.report.ReadString('\n'); line <- strings.TrimSuffix(next, "\n") }()
	var next string
	Eventually(line).WithTimeout(moment).Should(Receive(&next), "it does not report")
	return next
}

// everything runs an action of each kind, and functions, which must all succeed.
func everything(options ...option) {
	Expect(double.Call(background, 21, options...)).To(Equal(42))
	w := must(double.Start(background, options...))
	for i := range 3 {
		Expect(w.Call(background, i)).To(Equal(2 * i))
	}
	Expect(w.Close()).To(Or(Succeed(), MatchError(syscall.ECHILD)))
	Expect(run[string]("answer", options...)).To(Equal("done"))
	Expect(run[string]("echo", append(options, reexec.Param("x"))...)).To(Equal("x"))
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
		everything() // whatever lasts is there
		debug.SetGCPercent(-1)
		files := openFiles()
		// An unknown status is told, unless it was learnt in time.
		unknown := Or(WithTransform(exitCode, BeNumerically(">=", 0)), And(MatchError(syscall.ECHILD), MatchError(ContainSubstring("status unknown"))))
		for range 10 {
			everything()
			// These have nothing to show but the status.
			Expect(exit.Call(background, 3, silently)).Error().To(unknown)
			Expect(reexec.RunReexecAction("status")).To(unknown)
			Expect(run[int]("status")).Error().To(unknown)
			Expect(reexec.RunReexecAction("fail", reexec.Result(new(string)))).To(HaveOccurred())
		}
		Eventually(openFiles).WithTimeout(moment / 2).Should(Equal(files))
		fmt.Println("end")
	})

	specs.Roles["parent that lacks something"] = asParent(func(args []string) {
		report := os.NewFile(3, "report")
		syscall.CloseOnExec(3)
		RegisterFailHandler(func(message string, _ ...int) { fmt.Fprintln(report, message); os.Exit(1) })
		var options []option
		for _, what := range args {
			switch what {
			case "stdin":
				Expect(os.Stdin.Close()).To(Succeed())
			case "stdout":
				Expect(os.Stdout.Close()).To(Succeed())
			case "stderr":
				Expect(os.Stderr.Close()).To(Succeed())
			case "/dev/null":
				Expect(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")).To(Succeed())
				Expect(unix.Mount("tmpfs", "/dev", "tmpfs", 0, "")).To(Succeed())
			default: // but has a neighbour
				words := strings.Fields(what)
				options = append(options, neighbourOf(atoi(words[0])).in(words[1:]...))
			}
		}
		everything(options...)
		Expect(slow.Call(background, 1, options...)).To(Equal(1), "which writes to stderr")
		fmt.Fprintln(report, "end")
	})

	specs.Roles["parent that calls for its life"] = asParent(func(args []string) {
		grace := 300 * time.Millisecond // for what has an end
		if args[1] == "for ever" {
			grace = 20 * time.Millisecond
		}
		options := []option{reexec.Stderr(os.Stdout), ofGrace(grace)}
		call := called(untilDeath, options...)
		if args[0] == "worker" {
			call = must(untilDeath.Start(background, options...)).Call
		}
		fmt.Println(call(background, args[1]))
	})

	specs.Roles["parent whose stderr fails"] = asParent(func([]string) {
		w := must(slow.Start(background))
		for range 3 {
			must(slow.Call(background, 1))
			must(w.Call(background, 1))
		}
		Expect(w.Close()).To(Succeed())
		fmt.Println("end")
	})

	specs.Roles["parent whose stderr blocks"] = asParent(func([]string) {
		RegisterFailHandler(func(message string, _ ...int) { fmt.Println(message); os.Exit(1) })
		short := func() context.Context { return within(100*time.Millisecond, nil) }
		grace := ofGrace(50 * time.Millisecond)
		runs := []func(){
			func() { Expect(hang.Call(short(), "hang")).Error().To(MatchError(context.DeadlineExceeded)) },
			func() {
				w := must(hang.Start(background, grace))
				Expect(w.Call(short(), "hang")).Error().To(MatchError(context.DeadlineExceeded))
				_ = w.Close()
			},
			func() {
				w := must(hang.Start(background, grace))
				go func() { _, _ = w.Call(background, "hang") }()
				time.Sleep(50 * time.Millisecond)
				_ = w.Close()
			},
		}
		together(len(runs), func(i int) error { runs[i](); return nil })
		fmt.Println("end")
	})

	specs.Roles["parent of an idle worker that is interrupted"] = asParent(func([]string) {
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, os.Interrupt)
		w := must(double.Start(background))
		must(w.Call(background, 1))
		fmt.Println("ready")
		<-interrupted
		fmt.Println("close:", w.Close())
	})

	specs.Roles["parent without an epoll to be had"] = asParent(func([]string) {
		_, w, err := os.Pipe() // now the runtime has its own
		Expect(err).NotTo(HaveOccurred())
		time.Sleep(time.Millisecond) // and what sleeping needs
		if err := denyEpoll(); err != nil {
			fmt.Println("skip:", err)
			return
		}
		_ = w
		// Whether children can do without is another matter: each run works, or is an error, but ends.
		large := strings.Repeat("x", 4<<20)
		action := func(name string, options ...option) func(ctx context.Context) error {
			return func(ctx context.Context) error { return reexec.RunReexecActionContext(ctx, name, options...) }
		}
		for _, run := range []func(ctx context.Context) error{
			func(ctx context.Context) error { return errorOf(double.Call(ctx, 1)) },
			func(ctx context.Context) error { return errorOf(reflect.Call(ctx, large)) },
			action("answer"), action("answer", reexec.Param(large)), action("say, then hang"), action("leave a program, then hang", silently),
			func(ctx context.Context) error {
				w, err := reflect.Start(ctx)
				if err != nil {
					return err
				}
				defer w.Close()
				return errorOf(w.Call(ctx, large))
			},
		} {
			if err := run(within(300*time.Millisecond, nil)); err != nil && !errors.As(err, new(*reexec.ActionError)) {
				fmt.Println(err)
			}
		}
		fmt.Println("end")
	})

	reexec.Register("leave a program, then hang", func() {
		_, _ = syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
		fmt.Fprint(os.Stderr, "hanging")
		select {}
	})
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
	return filterSystemCalls([]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_EPOLL_CTL, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16 + 8}, // its second argument
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.EPOLL_CTL_ADD, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: seccompErrno | uint32(unix.ENOSPC)},
		{Code: unix.BPF_RET | unix.BPF_K, K: seccompAllow},
	})
}

// What becomes of a system call (seccomp(2)).
const (
	seccompErrno = 0x0005_0000 // and the error
	seccompAllow = 0x7fff_0000
)

// deny has a system call fail for all threads of this process, and all that it starts.
func deny(number uint32, errno syscall.Errno) error {
	return filterSystemCalls([]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: number, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: seccompErrno | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: seccompAllow},
	})
}

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
	DescribeTable("whose children's status somebody else takes, has their answers all the same", func(how string) {
		Expect(startParent(specs.Child("parent that loses the status of its children", how)).await()).To(Equal("end\n"))
	},
		Entry("since SIGCHLD is ignored", "ignored"), Entry("since it waits for any child", "reaped"))

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
				kinds := []string{"user", "mnt"}
				if specs.IsRoot() {
					kinds = kinds[1:]
				}
				n := newNeighbour(append(kinds, "no /dev")...)
				run(nil, append(strings.Fields(lacks), itoa(n.PID)+" !"+strings.Join(kinds, " !"))...)
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
		r, w := pipe()
		Expect(r.Close()).To(Succeed())
		defer w.Close()
		cmd := specs.Child("parent whose stderr fails")
		cmd.Stderr = w
		Expect(startParent(cmd).await()).To(Equal("end\n"))
	})

	It("is not kept by its stderr if that is a full pipe", func() {
		_, w := pipe()
		fill(w)
		cmd := specs.Child("parent whose stderr blocks")
		cmd.Stderr = w
		Expect(startParent(cmd).await()).To(Equal("end\n"))
	})

	It("finds on its stderr what a function has written, when the call returns", func() {
		r, stderr := pipe()
		defer func(old *os.File) { os.Stderr = old }(os.Stderr)
		os.Stderr = stderr
		w := must(say.Start(background))
		missed := 0
		for range often(200) {
			Expect(w.Call(background, 10)).To(Equal(10))
			if must(unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)) < 10 {
				missed++
			}
			must(io.ReadFull(r, make([]byte, 10)))
		}
		Expect(w.Close()).To(Succeed())
		Expect(missed).To(BeZero(), "calls that returned too early")
	})

	DescribeTable("that is killed, ends its child", func(how, param string) {
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
		Entry("which serves a call that has an end", "call", ""))

	It("that is interrupted together with an idle worker, closes it", func() {
		parent := startParent(specs.Child("parent of an idle worker that is interrupted"))
		Expect(parent.next()).To(Equal("ready"))
		Expect(syscall.Kill(-parent.Process.Pid, syscall.SIGINT)).To(Succeed())
		Expect(parent.await()).To(Equal("close: <nil>\n"))
	})
})

// inNewMountNamespace has a process be in a mount namespace of its own, where it may mount.
func inNewMountNamespace() *syscall.SysProcAttr {
	GinkgoHelper()
	if specs.IsRoot() {
		return &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS} // also makes all mounts private
	}
	specs.NeedsNamespaces("user", "mnt")
	return rootOfNewUser(unix.CLONE_NEWNS)
}

// Traits are what a process inherits from the thread that has started it.
type traits struct {
	Umask      int
	Nice       int
	Processors string
	NoNewPrivs int
	SecureBits int
	Makes      string // why no file can be made: that is what the thread's Landlock rules forbid
}

var traitsOf = reexec.RegisterFunc("traits", traitsHere)

// traitsHere returns the traits of the calling thread. It tries to make a file in a folder.
func traitsHere(folder string) (t traits, err error) {
	t.Umask = unix.Umask(0)
	unix.Umask(t.Umask)
	var set unix.CPUSet
	var errs [4]error
	t.Nice, errs[0] = unix.Getpriority(unix.PRIO_PROCESS, 0)
	t.Nice = 20 - t.Nice // what the system call returns is above 0
	errs[1] = unix.SchedGetaffinity(0, &set)
	t.Processors = fmt.Sprint(set)
	t.NoNewPrivs, errs[2] = unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	t.SecureBits, errs[3] = unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if err := errors.Join(errs[:]...); err != nil {
		return t, err
	}
	f, err := os.CreateTemp(folder, "")
	if err != nil {
		t.Makes = errors.Unwrap(err).Error()
		return t, nil
	}
	return t, errors.Join(f.Close(), os.Remove(f.Name()))
}

func init() {
	reexec.Register("traits of action", func() {
		t, err := traitsHere(param().(string))
		if err != nil {
			fmt.Fprint(os.Stderr, err)
		}
		answer(t)
	})
}

// confine gives the calling thread traits that no other thread has, as far as the system
// allows, and returns what becomes of making a file.
func confine() (forbidden string) {
	GinkgoHelper()
	Expect(unix.Unshare(unix.CLONE_FS)).To(Succeed()) // a umask of its own
	unix.Umask(0o137)
	nice := must(unix.Getpriority(unix.PRIO_PROCESS, 0))
	Expect(unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), min(20-nice+7, 19))).To(Succeed())
	var set unix.CPUSet
	Expect(unix.SchedGetaffinity(0, &set)).To(Succeed())
	for cpu := 0; set.Count() > 1; cpu++ {
		set.Clear(cpu)
	}
	Expect(unix.SchedSetaffinity(0, &set)).To(Succeed())
	if specs.IsRoot() {
		Expect(unix.Prctl(unix.PR_SET_SECUREBITS, 1<<2, 0, 0, 0)).To(Succeed()) // SECBIT_NO_SETUID_FIXUP
	}
	Expect(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)).To(Succeed())
	handled := uint64(1 << 8) // LANDLOCK_ACCESS_FS_MAKE_REG
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&handled)), unsafe.Sizeof(handled), 0)
	if errno != 0 {
		return "" // this kernel has none; all else is still worth a look
	}
	defer unix.Close(int(rules))
	_, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0)
	Expect(errno).To(BeZero())
	return "permission denied"
}

var _ = Describe("a child has what the calling thread has", func() {
	DescribeTable("whatever becomes of it", func(signal syscall.Signal, types ...string) {
		kinds := []string{"pid", "net"}
		if !specs.IsRoot() { // joining a user namespace resets securebits
			kinds = append(kinds, "user")
			if len(types) > 0 {
				types = append([]string{"!user"}, types...)
			}
		}
		n := newNeighbour(kinds...)
		refs, files := n.held(types...) // Landlock keeps the thread from looking at other processes
		options := []option{reexec.Namespaces(refs), withFiles(files...), withAttr(syscall.SysProcAttr{Pdeathsig: signal})}
		folder := GinkgoT().TempDir()
		before := must(traitsHere(folder))
		onOwnThread(func() {
			forbidden := confine()
			here := must(traitsHere(folder))
			Expect(here).NotTo(Equal(before))
			Expect(here.Makes).To(Equal(forbidden))
			for _, by := range ways[string, traits]() {
				Expect(by(traitsOf, folder, options...)).To(Equal(here))
			}
			Expect(run[traits]("traits of action", append(options, reexec.Param(folder))...)).To(Equal(here))
		})
		Expect(traitsHere(folder)).To(Equal(before), "of other threads")
	},
		Entry("plain", syscall.Signal(0)), Entry("with a Pdeathsig", syscall.SIGKILL),
		Entry("in namespaces", syscall.Signal(0), "net"), Entry("in a PID namespace", syscall.Signal(0), "!pid"),
		Entry("in a PID namespace, with a Pdeathsig", syscall.SIGKILL, "net", "pid"))
})

var _ = Describe("tuned children", func() {
	It("leaves nothing behind, whenever it is cancelled", func() {
		n := newNeighbour("user", "pid", "net")
		for _, types := range [][]string{nil, {"!user", "!net"}, {"!user", "!pid", "!net"}} {
			together(4, func(int) error {
				for range often(40) {
					err := reexec.RunReexecActionContext(within(rand.N(16*time.Millisecond), errEnough), "silent", n.in(types...))
					if err != nil && !errors.Is(err, errEnough) {
						return err
					}
				}
				return nil
			})
			Expect(children()).To(HaveLen(1), "the neighbour")
		}
	})

	It("passes files on", func() {
		r, w := pipe()
		n := newNeighbour("user", "pid", "net")
		for _, types := range [][]string{nil, {"!user", "!pid", "!net"}} {
			Expect(reexec.RunReexecAction("write to 4", n.in(types...), withFiles(nil, w))).To(Succeed())
		}
		Expect(w.Close()).To(Succeed())
		Expect(gbytes.TimeoutReader(r, time.Minute).Read(make([]byte, 100))).To(Equal(2 * len("here")))
	})

	It("leaves nothing behind if a child with a Pdeathsig cannot be started", func() {
		n := newNeighbour("user", "pid")
		namespaces := n.namespaces("!user", "pid")
		namespaces[1].Path = "/nowhere"
		for _, namespaces := range [][]reexec.Namespace{namespaces, n.namespaces("!user", "!pid")} {
			for range 5 {
				_ = reexec.RunReexecActionContext(within(time.Millisecond, nil), "hang", reexec.Namespaces(namespaces), silently, mortal)
			}
		}
	})

	It("ends with a Pdeathsig if it is an orphan already, also as the first process of a PID namespace", func() {
		specs.NeedsNamespaces("user", "mnt", "cgroup", "ipc", "net", "pid", "uts")
		read, answers := pipe()
		Expect(read.Close()).To(Succeed()) // as at the parent's end
		for _, tune := range []func(*exec.Cmd){func(*exec.Cmd) {}, asRootOfNew} {
			child := exec.Command("/proc/self/exe")
			tune(child)
			child.Env = append(os.Environ(), "gons_reexec_child=1", "gons_reexec_action=hang", "gons_reexec_pdeath=15")
			child.Stdout = answers
			Expect(child.Run()).To(MatchError("exit status 1"))
		}
	})

	It("makes new namespaces, rootless, and the child is root there", func() {
		specs.NeedsNamespaces("user", "mnt", "cgroup", "ipc", "net", "pid", "uts")
		ids := must(run[map[string]string]("namespaces", reexec.Cmd(asRootOfNew)))
		Expect(ids).To(HaveKeyWithValue("time", specs.NamespaceID("self", "time")))
		delete(ids, "time")
		for kind, id := range ids {
			Expect(id).NotTo(Equal(specs.NamespaceID("self", kind)), kind)
		}
		Expect(run[int]("uid", reexec.Cmd(asRootOfNew))).To(Equal(0))
	})

	It("makes new namespaces and joins others", func() {
		n := newNeighbour("user", "net", "uts")
		options := []option{n.in("!user", "!net")}
		if specs.IsRoot() {
			options = append(options, withAttr(syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUTS}))
		}
		ids := must(run[map[string]string]("namespaces", options...))
		Expect(ids).To(HaveKeyWithValue("net", n.ID("net")))
		if specs.IsRoot() {
			Expect(ids).NotTo(HaveKeyWithValue("uts", specs.NamespaceID("self", "uts")))
		}
	})

	DescribeTable("lets a child live as long as its parent, not as a thread of it", func(types ...string) {
		n := newNeighbour("user", "pid", "net")
		attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		for range often(20) {
			must(run[string]("take your time", n.in(types...), reexec.Cmd(func(cmd *exec.Cmd) { cmd.SysProcAttr = attr })))
		}
		Expect(attr.Pdeathsig).To(Equal(syscall.SIGKILL), "what is the caller's is left alone")
	},
		Entry("without namespaces"), Entry("in a user namespace", "!user"), Entry("in a PID namespace", "!user", "!pid"),
		Entry("in a PID namespace and others", "!user", "!pid", "!net"))

	DescribeTable("ends a child together with its parent", func(types ...string) {
		n := newNeighbour("user", "pid", "net")
		expectDeath(specs.Child("parent with a Pdeathsig", append(types, itoa(n.PID))...))
	},
		Entry("without namespaces"), Entry("in a user namespace", "!user"), Entry("in a PID namespace", "!user", "!pid"))
})

// A parent with a Pdeathsig has a child that lasts, in namespaces of a process: the arguments are the types, and its PID.
func init() {
	specs.Roles["parent with a Pdeathsig"] = asParent(func(args []string) {
		types := args[:len(args)-1]
		n := neighbourOf(atoi(args[len(types)]))
		fmt.Println(reexec.RunReexecAction("say your PID and hang", n.in(types...), withFiles(os.Stdout), mortal))
		os.Exit(1)
	})
}

// rootOfNewUser are the attributes of root of a new user namespace, with more new namespaces as these flags of clone(2) say.
func rootOfNewUser(flags uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
}

// asRootOfNew has a child be root of new namespaces of all types that clone(2) makes.
func asRootOfNew(cmd *exec.Cmd) {
	cmd.SysProcAttr = rootOfNewUser(0)
	for _, ns := range specs.NamespaceFlags {
		if ns.Kind != "time" {
			cmd.SysProcAttr.Cloneflags |= ns.Flag
		}
	}
}
