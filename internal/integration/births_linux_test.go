package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// An identity is what a process knows of itself.
type identity struct {
	PID, TID     int
	Dumpable     int  // see prctl(2)
	Signalled    bool // whether a signal to its main thread has arrived
	Capabilities map[string]string
}

var whoami = reexec.RegisterFunc("whoami", func(struct{}) (id identity, err error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1)
	id.PID, id.TID = os.Getpid(), unix.Gettid()
	if err := unix.Tgkill(id.PID, id.PID, unix.SIGUSR1); err != nil {
		return id, err
	}
	select {
	case <-signals:
		id.Signalled = true
	case <-time.After(10 * time.Second):
	}
	if id.Dumpable, err = unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return id, err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return id, err
	}
	id.Capabilities = map[string]string{}
	for _, field := range regexp.MustCompile(`(?m)^Cap(\w+):\s*(\w+)$`).FindAllStringSubmatch(string(status), -1) {
		id.Capabilities[field[1]] = field[2]
	}
	return id, nil
})

// pry tries to look at a process, and returns what keeps it from each of its secrets.
var pry = reexec.RegisterFunc("pry", func(pid int) (map[string]string, error) {
	secrets := map[string]string{}
	for _, name := range []string{"mem", "environ", "exe", "cwd", "fd/0"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name))
		_ = f.Close()
		if errors.As(err, new(syscall.Errno)) {
			err = errors.Unwrap(err)
		}
		secrets[name] = fmt.Sprint(err)
	}
	return secrets, nil
})

func init() {
	reexec.Register("become a program", func() {
		sh := []string{"sh", "-c", "echo ready >&2; exec sleep 1000"}
		fmt.Fprint(os.Stderr, syscall.Exec("/bin/sh", sh, os.Environ()))
	})
	reexec.Register("be dumpable", func() {
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
		fmt.Fprintln(os.Stderr, "ready")
		select {}
	})

	// Has a child that waits before its Go runtime starts, and is to end with this process.
	roles["parent of one that waits"] = func(args []string) any {
		n := neighbourOf(atoi(args[0]))
		_, err := double.Call(background, 1, n.in("!user", "!mnt"), mortal)
		return fmt.Sprint(err)
	}

	// Runs into a dead PID namespace before anything else.
	roles["misfortune"] = func(args []string) any {
		refs := []reexec.Namespace{{Type: "!user", Path: args[0]}, {Type: "!pid", Path: args[1]}}
		handDown := withFiles(os.NewFile(3, "user"), os.NewFile(4, "pid"))
		var told []string
		tell := func(err error) { told = append(told, fmt.Sprint(err)) }
		err := reexec.RunReexecAction("silent", reexec.Namespaces(refs), handDown)
		tell(errors.Unwrap(as[*reexec.JoinError](err)))

		told = append(told, fmt.Sprint(run[string]("answer")))
		ctx, cancel := context.WithCancelCause(background)
		tell(reexec.RunReexecActionContext(ctx, "hang", reexec.GracePeriod(time.Hour), onStderr(func(string) { cancel(errors.New("enough")) })))
		return append(told, childrenOf(os.Getpid())...)
	}

	// Is a parent that reaps all its children itself, as the first process of a container may,
	// and so slow that most have been reaped before it notices anything.
	roles["reaper"] = func(args []string) any {
		n := neighbourOf(atoi(args[0]))
		runtime.GOMAXPROCS(1)
		go func() {
			for {
				_, _ = unix.Wait4(-1, nil, 0, nil)
			}
		}()
		go func() {
			//lint:ignore SA5002 it is to be busy
			for {
			}
		}()
		var told []string
		for _, types := range [][]string{{"!user", "!net"}, {"!user", "!pid"}} {
			for range 5 {
				_, err := double.Call(background, 1, n.in(types...), reexec.GracePeriod(0))
				if err != nil && !errors.Is(err, syscall.ECHILD) {
					told = append(told, err.Error())
				}
			}
		}
		return told
	}
}

// youngest returns the child of this process with the highest PID, and so quickly that it finds those who do not live long.
func youngest() (pid int) {
	GinkgoHelper()
	if _, err := os.Stat("/proc/thread-self/children"); err != nil {
		Skip("this kernel does not list children")
	}
	for _, child := range childPIDs(os.Getpid()) {
		pid = max(pid, atoi(child))
	}
	return pid
}

var _ = Describe("a child born in namespaces", func() {
	DescribeTable("knows itself", func(types ...string) {
		n := newNeighbour("user", "net", "pid", "time")
		for _, by := range ways[struct{}, identity]() {
			id := must(by(whoami, struct{}{}, n.in(types...)))
			Expect(id).To(And(HaveField("PID", BeNumerically(">", 1)), HaveField("TID", BeNumerically(">=", id.PID)),
				HaveField("Signalled", true), HaveField("Dumpable", 0)))
			none := strings.Repeat("0", 16)
			Expect(id.Capabilities).To(And(HaveKeyWithValue("Amb", none), HaveKeyWithValue("Inh", none)))
			// It has all the others, which it got with its user namespace.
			Expect(id.Capabilities["Eff"]).To(Equal(id.Capabilities["Prm"]))
			Expect(id.Capabilities["Eff"]).To(Equal(id.Capabilities["Bnd"]))
		}
	},
		Entry("in a user namespace", "!user"), Entry("in a PID namespace", "!user", "!pid"),
		Entry("in all", "user", "net", "pid", "time"))

	It("is as dumpable as any program if it is where its parent is", func() {
		Expect(whoami.Call(background, struct{}{})).To(HaveField("Dumpable", 1))
	})

	DescribeTable("cannot be looked at from there", func(types ...string) {
		n := newNeighbour("user", "net", "pid")
		there := n.in(types...)
		needsToSee(there)
		secrets := func(pid int) map[string]string { GinkgoHelper(); return must(pry.Call(background, pid, there)) }
		open := map[string]string{"mem": "<nil>", "environ": "<nil>", "exe": "<nil>", "cwd": "<nil>", "fd/0": "<nil>"}
		shut := map[string]string{}
		for name := range open {
			shut[name] = "permission denied"
		}
		Expect(secrets(n.PID)).To(HaveKeyWithValue("environ", "<nil>"), "of the neighbour, who is no secret")

		worker := must(double.Start(background, there))
		defer worker.Close()
		Expect(secrets(others(n.PID)[0])).To(Equal(shut))
		Expect(worker.Close()).To(Succeed())

		// Unless it wants to be looked at, or is a program as any other.
		for _, action := range []string{"be dumpable", "become a program"} {
			ctx, cancel := context.WithCancel(background)
			defer cancel()
			ready := make(chan string, 1)
			ended := inBackground(func() error {
				return reexec.RunReexecActionContext(ctx, action, there, onStderr(func(said string) { ready <- said }))
			})
			Expect(<-ready).To(Equal("ready\n"))
			Expect(secrets(others(n.PID)[0])).To(Equal(open), action)
			cancel()
			Expect(<-ended).To(MatchError(context.Canceled))
		}
	},
		Entry("in a user namespace", "!user"), Entry("in a user and a network namespace", "!user", "!net"),
		Entry("in a user and a PID namespace", "!user", "!pid"))

	DescribeTable("ends with a context where a hostile mount namespace makes it wait", func(files ...string) {
		n := newNeighbour(append([]string{"user", "mnt", "no /proc", "no /sys"}, files...)...)
		there := n.in("!user", "!mnt")
		ctx := within(200*time.Millisecond, errEnough)
		together(len(waysIn), func(i int) error {
			defer GinkgoRecover()
			Expect(asActionError(waysIn[i].in(ctx, there))).To(MatchError(errEnough))
			return nil
		})
		Expect(others(n.PID)).To(BeEmpty())
	},
		Entry("in its runtime", "FIFO /proc/self/cgroup", "FIFO /proc/self/mountinfo"), // of which Go opens one first, since 1.25
		Entry("in its runtime, for the size of huge pages", "FIFO /sys/kernel/mm/transparent_hugepage/hpage_pmd_size"))

	It("ends with its parent there, if it has a Pdeathsig", func() {
		kinds := []string{"user", "mnt", "no /proc", "FIFO /proc/self/cgroup", "FIFO /proc/self/mountinfo"}
		if specs.Refusal("user", "mapped") == nil {
			kinds = append(kinds, "mapped") // new IDs take the signal away
		}
		n := newNeighbour(kinds...)
		parent := withRole("parent of one that waits", itoa(n.PID))
		Expect(parent.Start()).To(Succeed())
		defer func() { _ = parent.Process.Kill(); _ = parent.Wait() }()
		// A writer can open the FIFO once the child is there, which then waits for what is never written.
		var fifo int
		Eventually(func() (err error) {
			for _, file := range []string{"cgroup", "mountinfo"} {
				fifo, err = unix.Open(fmt.Sprintf("/proc/%d/root/proc/self/%s", n.PID, file), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
				if err == nil {
					break
				}
			}
			return err
		}).Should(Succeed())
		defer unix.Close(fifo)
		child := firstWord(childrenOf(parent.Process.Pid)[0])
		Expect(alive(child)).To(Succeed())
		Expect(parent.Process.Kill()).To(Succeed())
		Eventually(func() error { return alive(child) }).Should(MatchError(syscall.ESRCH))
	})

	It("leaves nothing behind if the PID namespace ends meanwhile", func() {
		specs.NeedsNamespaces("user", "pid")
		failed := 0
		for i := range often(30) {
			n := &neighbour{must(specs.StartNeighbour("-", "user", "pid"))}
			refs, files := n.held("!user", "!pid")
			ended := inBackground(func() error {
				time.Sleep(rand.N(6 * time.Millisecond)) // some moment of the birth, or after it
				defer n.End()
				return kill(n.PID)
			})
			err := waysIn[i%len(waysIn)].run(reexec.Namespaces(refs), withFiles(files...))
			Expect(<-ended).To(Succeed())
			if err != nil {
				asActionError(err)
				failed++
			}
			Expect(children()).To(BeEmpty())
		}
		Expect(failed).To(BeNumerically(">", 0))
	})

	It("leaves nothing behind if whatever is there is killed", func() {
		n := newNeighbour("user", "pid")
		killed := 0
		for i := range often(60) {
			done := inBackground(func() error { return waysIn[i%len(waysIn)].run(n.in("!user", "!pid")) })
			time.Sleep(rand.N(6 * time.Millisecond))
			if victim := youngest(); victim != n.PID {
				_ = kill(victim) // the clone, if there are both
			}
			if err := <-done; err != nil {
				asActionError(err)
				killed++
			}
			Expect(others(n.PID)).To(BeEmpty())
		}
		Expect(killed).To(BeNumerically(">", 0))
	})

	It("that could not be born changes nothing for the next ones", func() {
		n := newNeighbour("user", "pid")
		refs, files := n.held("!user", "!pid")
		n.End()
		role := withRole("misfortune", refs[0].Path, refs[1].Path)
		role.ExtraFiles = files
		Expect(tellOf[[]string](role)).To(Equal([]string{"cannot allocate memory", "done<nil>",
			"gons/reexec: ReexecAction.Run: child was killed, reason: enough"}))
	})

	It("may be reaped by somebody else", func() {
		n := newNeighbour("user", "net", "pid")
		Expect(tellOf[[]string](withRole("reaper", itoa(n.PID)))).To(BeEmpty())
	})
})

// faults are what befalls a parent between CheckAction and the run of an action.
var faults = map[string]func() error{
	"deleted":      func() error { return os.Remove(os.Args[0]) },
	"replaced":     func() error { return os.Rename(os.Args[0]+".new", os.Args[0]) },
	"no /proc":     func() error { return unix.Mount("tmpfs", "/proc", "tmpfs", 0, "") },
	"no processes": func() error { return syscall.Setrlimit(unix.RLIMIT_NPROC, &syscall.Rlimit{Cur: 0, Max: 0}) },
}

// A parent with a fault meets it, then runs an action, and prints its answer and its error.
func init() {
	specs.Roles["parent with a fault"] = asParent(func(args []string) {
		if err := faults[args[0]](); err != nil {
			fmt.Println("cannot make fault:", err)
			os.Exit(1)
		}
		answer, err := run[string]("answer")
		fmt.Println("answer:", answer)
		fmt.Println("error:", err)
		fmt.Println("EAGAIN:", errors.Is(err, syscall.EAGAIN))
	})
}

var _ = Describe("faults", func() {
	// suffer returns what a process with a fault prints. Its executable is its own.
	suffer := func(fault string, attr *syscall.SysProcAttr) string {
		GinkgoHelper()
		program := filepath.Join(publicFolder(), "program")
		Expect(os.WriteFile(program, must(os.ReadFile("/proc/self/exe")), 0o755)).To(Succeed())
		Expect(os.WriteFile(program+".new", []byte("#!/bin/false\n"), 0o755)).To(Succeed())

		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), specs.Role("parent with a fault", fault))
		cmd.SysProcAttr = attr
		text, err := cmd.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", text)
		return string(text)
	}

	for _, fault := range []string{"deleted", "replaced"} {
		It("runs the same program although its executable has been "+fault, func() {
			Expect(suffer(fault, nil)).To(HavePrefix("answer: done\nerror: <nil>\n"))
		})
	}

	It("says that /proc is not mounted", func() {
		Expect(suffer("no /proc", inNewMountNamespace())).To(ContainSubstring("error: gons/reexec: ReexecAction.Run: " +
			"cannot start child, reason: fork/exec /proc/self/exe: no such file or directory (/proc is not mounted, or"))
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

	DescribeTable("reports children that are killed at any point", func(types ...string) {
		n := newNeighbour("user", "pid", "net")
		namespaces := n.in(types...)
		needsToSee(namespaces)
		param := strings.Repeat("x", 1<<20) // takes its time to be sent and answered
		for range often(25) {
			done := goCall(called(reflect, namespaces), background, param)
			var victims []int
			Eventually(func() bool {
				victims = others(n.PID)
				return len(victims) == 1 || len(done) > 0
			}).WithPolling(100 * time.Microsecond).Should(BeTrue())
			time.Sleep(time.Duration(rand.N(8000)) * time.Microsecond)
			for _, victim := range victims {
				_ = kill(victim)
			}
			if answer, err := end(done); err != nil {
				Expect(wasKilled(err)).To(BeTrue(), err.Error())
				asActionError(err)
			} else {
				Expect(answer == param).To(BeTrue())
			}
			Expect(others(n.PID)).To(BeEmpty())
		}

		// Those were random; this one is served for sure.
		_, err := hang.Call(background, "hang", namespaces, onStderr(func(string) { killOthers(n.PID) }))
		Expect(wasKilled(err)).To(BeTrue(), err.Error())
		asActionError(err)
	},
		Entry("without namespaces"), Entry("in namespaces", "!user", "!net"), Entry("in a PID namespace", "!user", "!pid"))
})

// needsToSee skips a spec where /proc does not show the children of these options (hidepid).
func needsToSee(namespaces option) {
	GinkgoHelper()
	before := len(children())
	worker := must(double.Start(background, namespaces))
	defer worker.Close()
	if len(children()) == before {
		Skip("/proc does not show children in namespaces")
	}
}

// others are the children of this process except one.
func others(pid int) (pids []int) {
	for _, child := range children() {
		if other := firstWord(child); other != pid {
			pids = append(pids, other)
		}
	}
	return pids
}

func killOthers(pid int) {
	for _, victim := range others(pid) {
		_ = kill(victim)
	}
}

// stat looks at a file, which may take for ever.
func stat(path string) (int, error) { return 0, errorOf(os.Stat(path)) }

var (
	look          = reexec.RegisterFunc("look", stat)
	lookInContext = reexec.RegisterFuncContext("look in context", func(_ context.Context, path string) (int, error) { return stat(path) })
	lookOn        = reexec.RegisterStream("look on", func(_ context.Context, path string, yield func(int) bool) error {
		yield(1)
		return errorOf(stat(path))
	})
)

func init() {
	reexec.Register("look action", func() { answer(fmt.Sprint(stat(param().(string)))) })
}

var _ = Describe("a child that the kernel cannot end", func() {
	short := ofGrace(50 * time.Millisecond)

	// Each of these takes seconds, and so they wait at the same time.
	ways := map[string]func(ctx context.Context, path string) error{
		"an action": func(ctx context.Context, path string) error {
			return reexec.RunReexecActionContext(ctx, "look action", reexec.Param(path), short)
		},
		"a call": func(ctx context.Context, path string) error { return errorOf(look.Call(ctx, path, short)) },
		"a call that should obey its context": func(ctx context.Context, path string) error {
			return errorOf(lookInContext.Call(ctx, path, short))
		},
		"a worker's call": func(ctx context.Context, path string) error {
			w := must(look.Start(background, short))
			defer w.Close()
			return errorOf(w.Call(ctx, path))
		},
		"a loop": func(ctx context.Context, path string) (err error) {
			for _, err = range lookOn.Call(ctx, path, short) {
			}
			return err
		},
		"a loop that is left": func(_ context.Context, path string) error {
			for range lookOn.Call(background, path, short) {
				break
			}
			return fmt.Errorf("%w: there is no error, but it does not end either", errEnough)
		},
		"a worker that is closed": func(_ context.Context, path string) error {
			w := must(look.Start(background, short))
			called := goCall(w.Call, background, path)
			time.Sleep(100 * time.Millisecond) // until it is being served
			closed := w.Close()
			o := <-called
			if closed == nil || !strings.Contains(closed.Error(), "does not end") {
				return fmt.Errorf("Close does not tell: %v", closed)
			}
			if isOver(w.Done()) || w.Err() != nil {
				return errors.New("the worker is done although its child has not ended")
			}
			return fmt.Errorf("%w: %w", errEnough, o.err)
		},
	}

	It("does not hold up its caller, who is told, and is reaped when it ends", func() {
		ctx, cancel := context.WithCancelCause(background)
		defer cancel(nil)
		ended := map[string]<-chan error{}
		var dead []*specs.DeadFileSystem
		for name, run := range ways {
			fs := specs.NewDeadFileSystem()
			dead = append(dead, fs)
			ended[name] = inBackground(func() error { return run(ctx, filepath.Join(fs.Path, "file")) })
			fs.Asked()
		}
		cancel(errEnough)
		for name, done := range ended {
			Expect(received(done, "%s: its caller is held up", name)).To(And(MatchError(errEnough), MatchError(ContainSubstring("does not end"))), name)
		}
		for _, fs := range dead {
			fs.End()
		}
		Eventually(children).Should(BeEmpty())
	})
})

var _ = Describe("a child that is not born while its stderr blocks", func() {
	nowhere := joining(reexec.Namespace{Type: "!net", Path: "/nowhere"})
	noisy := reexec.Environment([]string{"LD_PRELOAD=/nowhere.so"}) // the loader says so

	It("does not keep the end of the context from releasing its caller", func() {
		specs.NeedsCgo()
		DeferCleanup(killChildren)
		var released []<-chan error
		for _, way := range waysIn {
			var said bytes.Buffer
			_ = way.run(nowhere, noisy, reexec.Stderr(&said))
			if said.Len() == 0 {
				Skip("the loader says nothing")
			}
			blocking := newBlockingWriter()
			ctx, cancel := context.WithCancelCause(background)
			DeferCleanup(func() { cancel(nil) })
			go func() { <-blocking.Blocks; cancel(errEnough) }()
			released = append(released, inBackground(func() error { return way.in(ctx, nowhere, noisy, reexec.Stderr(blocking)) }))
		}
		for _, done := range released { // which wait at the same time
			Expect(received(done)).To(HaveOccurred())
		}
	})

	It("does not do so either if it is the parent's own stderr", func() {
		specs.NeedsCgo()
		blockStderr()
		Expect(double.Start(within(300*time.Millisecond, errEnough), nowhere, noisy)).Error().To(HaveOccurred())
	})
})
