package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

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
)

var _ = Describe("functions on Linux", func() {
	DescribeTable("run in namespaces", func(types ...string) {
		n := newNeighbour("user", "mnt", "cgroup", "ipc", "net", "pid", "uts")
		for _, by := range ways[struct{}, map[string]string]() {
			ids := must(by(whereami, struct{}{}, n.in(types...)))
			for _, typ := range types {
				Expect(ids).To(HaveKeyWithValue(kind(typ), n.ID(kind(typ))))
			}
		}
	},
		Entry(nil, "!user", "!net"), Entry(nil, "!user", "!pid"),
		Entry(nil, "!user", "!mnt", "!cgroup", "!ipc", "!net", "!pid", "!uts"))

	It("are not disturbed by what they print", func() {
		var result string
		stdout, stderr := capture(func() {
			result = must(noisy.Call(background, struct{}{}))
			result = must(byWorker(noisy, struct{}{}))
		})
		Expect(stdout).To(Equal(strings.Repeat("print\n"+strings.Repeat("x", 1<<18)+"\nprogram\n", 2)))
		Expect(stderr).To(Equal(strings.Repeat("to stderr\nto stderr\n", 2)))
		Expect(result).NotTo(ContainSubstring("gons_"))
	})

	It("send stderr where one wants it", func() {
		var heard bytes.Buffer
		stdout, stderr := capture(func() { must(noisy.Call(background, struct{}{}, reexec.Stderr(&heard))) })
		Expect(stdout).To(ContainSubstring("print"))
		Expect(stderr).To(BeEmpty())
		Expect(heard.String()).To(Equal("to stderr\nto stderr\n"))
	})

	It("report a failed switch, and print nothing", func() {
		stdout, stderr := capture(func() {
			for _, way := range waysIn {
				for _, typ := range []string{"!net", "!pid"} {
					Expect(way.run(joining(reexec.Namespace{Type: typ, Path: "/nowhere"}))).To(HaveOccurred())
				}
			}
		})
		Expect(stdout + stderr).To(BeEmpty())
	})

	It("report a failed switch also where the child calls RunAction", func() {
		specs.NeedsCgo()
		variable, value, _ := strings.Cut(specs.Role("program that calls RunAction"), "=")
		GinkgoT().Setenv(variable, value)
		Expect(double.Call(background, 1, joining(reexec.Namespace{Type: "!net", Path: "/nowhere"}))).Error().To(
			MatchError(ContainSubstring("package gons: invalid gons_net reference")))
		Expect(double.Call(background, 1)).To(Equal(2))
	})

	It("report a signal", func() {
		ways, errs := ways[string, string](), make([]error, 2)
		together(len(ways), func(i int) error { _, errs[i] = ways[i](tricks, "kill 15", silently); return nil })
		for i, err := range errs {
			Expect(err).To(MatchError(ContainSubstring("signal: terminated")))
			as[*exec.ExitError](asActionError(err))
			Expect(ways[i](tricks, "kill 9", silently)).Error().To(MatchError(ContainSubstring("signal: killed")))
		}
	})

	It("are killed if they do not end after Close", func() {
		w := start(pid, ofGrace(50*time.Millisecond))
		Expect(w.Call(background, struct{}{})).To(Equal(w.PID()))
		stop(w.PID())
		Expect(w.Close()).To(Succeed())
		Expect(w.Close()).To(Succeed())
	})

	It("end when their parent ends", func() { expectDeath(specs.Child("parent of an idle worker")) })
})

// A parent of an idle worker tells the worker's PID, and waits for its own end.
func init() {
	specs.Roles["parent of an idle worker"] = asParent(func([]string) {
		fmt.Println(must(pid.Start(background)).Call(background, struct{}{}))
		select {}
	})
}

// tricks does strange things in its child, and tells something.
var tricks = reexec.RegisterFunc("tricks", trick)

func trick(what string) (string, error) {
	what, argument, _ := strings.Cut(what, " ")
	switch what {
	case "where":
		return os.Getwd()
	case "wander": // as runtime.LockOSThread has it: the thread ends with the goroutine
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return "", err
		}
		return "", os.Chdir("/")
	case "thread":
		return fmt.Sprint(unix.Gettid() == os.Getpid()), nil
	case "close": // what a careless function takes for its own
		return "", syscall.Close(atoi(argument))
	case "replace":
		f, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
		if err != nil {
			return "", err
		}
		if int(f.Fd()) == atoi(argument) {
			return "", nil
		}
		defer f.Close()
		return "", unix.Dup3(int(f.Fd()), atoi(argument), 0)
	case "sleep":
		d, err := time.ParseDuration(argument)
		time.Sleep(d)
		return "", err
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.Signal(atoi(argument)))
		select {}
	case "die":
		fmt.Fprintf(os.Stderr, "dies %d.\n", leaveDescendant())
		time.Sleep(30 * time.Millisecond)
		os.Exit(3)
	case "descend":
		fmt.Fprintln(os.Stderr, "descends")
		return itoa(leaveDescendant()), nil
	case "exit":
		os.Exit(3)
	case "hang":
		hangHere()
	case "print":
		fmt.Println(argument)
	case "getenv":
		return os.Getenv(argument), nil
	}
	return "", nil
}

//go:noinline
func hangHere() {
	for range 1000 { // of which there is no room for all
		go func() { select {} }()
	}
	fmt.Fprintln(os.Stderr, "hangs")
	select {}
}

var _ = Describe("calls", func() {
	It("return their answer, or an error, and with an answer the worker lives on", func() {
		w := start(tricks, silently)
		limit, answered := 3*time.Millisecond, 0
		for range often(400) {
			shorter := limit - time.Duration(rand.N(1000))*time.Microsecond
			if err := errorOf(w.Call(within(limit, nil), "sleep "+shorter.String())); err != nil {
				Expect(err).To(MatchError(context.DeadlineExceeded))
				w = start(tricks, silently)
				continue
			}
			answered++
			Expect(w.Err()).NotTo(HaveOccurred())
			Expect(w.Call(background, "")).To(BeEmpty(), "the worker is gone although its call was answered")
		}
		Expect(answered).NotTo(BeZero())
	})

	It("return the answer that is there when the context ends while the parent cannot look", func() {
		Expect(tellOf[int](withRole("stopped parent"))).To(BeZero(), "answers that killed their worker")
		Expect(tellOf[int](withRole("stopped parent of an action"))).To(BeZero(), "children that had ended, and well, but are said to be killed")
	})

	It("leave nothing of a thread that they have locked and changed to the next ones", func() {
		for _, concurrency := range []int{1, 3} {
			w := start(tricks, silently, reexec.Concurrency(concurrency))
			here := must(w.Call(background, "where"))
			Expect(here).NotTo(Equal("/"))
			for range often(20) {
				_, err := w.Call(background, "wander")
				if errors.Is(err, syscall.EPERM) {
					Skip("needs unshare: " + err.Error())
				}
				Expect(err).NotTo(HaveOccurred())
				Expect(w.Call(background, "where")).To(Equal(here))
			}
		}
	})

	It("are not served by the main thread, even if CheckAction is called in an init function", func() {
		GinkgoT().Setenv("reexec_early_check", "1")
		Expect(tricks.Call(background, "thread")).To(Equal("false"))
		Expect(start(tricks).Call(background, "thread")).To(Equal("false"))
	})

	It("may close, or replace, descriptors that are not theirs, but for high ones", func() {
		for _, by := range ways[string, string]() {
			for fd := 3; fd <= 5; fd++ {
				for _, what := range []string{"close ", "replace "} {
					Expect(by(tricks, what+itoa(fd), silently)).Error().To(Or(BeNil(), MatchError(syscall.EBADF)))
				}
			}
		}
	})

	Context("whose child is gone, with a descendant that holds its stderr", func() {
		It("wait neither for that, nor for the grace period", func() {
			g, w := gated(tricks, ofGrace(time.Hour))
			served := goCall(w.Call, background, "die")
			g.says(`dies \d+\.`)
			var descendant int
			must(fmt.Sscanf(string(g.stderr.Contents()), "dies %d", &descendant))
			DeferCleanup(kill, descendant)
			for _, call := range []<-chan outcome[string]{served, goCall(w.Call, background, "")} { // the second one waits for its turn
				_, err := end(call)
				Expect(exitCode(err)).To(Equal(3), "%v", err)
			}
			Expect(inTime(w.Err)).To(HaveOccurred())
			_ = inTime(w.Close)
		})

		It("have their result, even if the context ends meanwhile", func() {
			ctx, cancel := context.WithCancel(background)
			var said safeBuffer
			done := goCall(called(tricks, reexec.Stderr(&said), ofGrace(time.Hour)), ctx, "descend")
			Eventually(said.String).Should(Equal("descends\n"))
			Eventually(children).Should(BeEmpty())
			Consistently(done, "20ms").ShouldNot(Receive())
			cancel()
			Expect(kill(atoi(must(end(done))))).To(Succeed())
		})
	})

	It("of a goroutine that is locked to its thread do not read for others", func() {
		g, w := gated(working, reexec.Concurrency(2))
		done := inBackground(func() error {
			runtime.LockOSThread() // and ends with it, so it may have any priority
			return errorOf(w.Call(background, job{Do: "hold"}))
		})
		g.says("began")
		Expect(goroutinesIn("(*Reader).Poll", "call.(*Worker)")).To(ConsistOf(Not(ContainSubstring("locked to thread"))))
		g.pass(1)
		Eventually(done).Should(Receive(BeNil()))
	})

	It("obey their contexts where pipes are small, as of a user who has many", func() {
		if os.Geteuid() == 0 {
			Skip("root may have any number of large pipes")
		}
		var pipes []*os.File
		defer func() { closeAll(pipes) }()
		for len(pipes) < 2*1100 { // pipe-user-pages-soft in pipe(7)
			r, w, err := os.Pipe()
			if errors.Is(err, syscall.EMFILE) {
				Skip("needs more descriptors")
			}
			Expect(err).NotTo(HaveOccurred())
			pipes = append(pipes, r, w)
		}
		w := start(workingInContext, silently, ofGrace(time.Hour))
		goOn := stop(w.PID())
		ctx, cancel := context.WithCancelCause(background)
		done := goCall(w.Call, ctx, job{Text: strings.Repeat("x", 30<<10)})
		Consistently(done, "20ms").ShouldNot(Receive())
		cancel(errEnough)
		Expect(end(done)).Error().To(MatchError(errEnough))
		goOn()
	})

	It("of a stream end with their context, and what is in the pipe is dropped", func() {
		ctx, cancel := context.WithCancelCause(background)
		defer cancel(nil)
		events := 0
		for _, err := range endless.Call(ctx, "", silently) {
			if events++; events == 1 {
				time.Sleep(50 * time.Millisecond) // the pipe is full of them
				cancel(errEnough)
				continue
			}
			Expect(err).To(MatchError(errEnough))
		}
		Expect(events).To(Equal(2))
	})

	It("have several tuning options, in their order, and the working directory is known to the child", func() {
		var order []int
		tune := func(i int) option {
			return reexec.Cmd(func(cmd *exec.Cmd) {
				order = append(order, i)
				cmd.Dir = []string{"/tmp", "/proc/.."}[i]
			})
		}
		Expect(tricks.Call(background, "getenv PWD", tune(0), tune(1))).To(Equal("/proc/.."))
		Expect(order).To(Equal([]int{0, 1}))
	})

	Context("stdout", func() {
		It("goes to a writer, and is complete when a call returns", func() {
			var said bytes.Buffer
			w := start(tricks, reexec.Stdout(&said))
			for i := range 50 {
				Expect(w.Call(background, "print "+itoa(i))).To(BeEmpty())
				Expect(said.String()).To(HaveSuffix(fmt.Sprintf("%d\n", i)))
			}
			said.Reset()
			Expect(tricks.Call(background, "print alone", reexec.Stdout(&said))).To(BeEmpty())
			Expect(said.String()).To(Equal("alone\n"))
		})

		It("that cannot be passed on is an error of the call", func() {
			full := writerFunc(func([]byte) (int, error) { return 0, syscall.ENOSPC })
			for _, by := range ways[string, string]() {
				Expect(by(tricks, "print x", reexec.Stdout(full))).Error().To(And(MatchError(syscall.ENOSPC),
					MatchError(ContainSubstring("cannot pass on stdout of child, reason: "))))
			}
		})

		It("of an action is its answer", func() {
			Expect(func() { _ = reexec.RunReexecAction("echo", reexec.Stdout(io.Discard)) }).
				To(PanicWith(ContainSubstring("option Stdout is for functions only")))
		})

		It("whose reader is gone ends a worker, as any program", func() {
			r, w := pipe()
			Expect(r.Close()).To(Succeed())
			stdout := os.Stdout
			os.Stdout = w
			worker, err := tricks.Start(background, silently)
			os.Stdout = stdout
			Expect(err).NotTo(HaveOccurred())
			defer worker.Close()
			Expect(w.Close()).To(Succeed())
			Expect(worker.Call(background, "print x")).Error().To(MatchError(ContainSubstring("signal: broken pipe")))
		})
	})

	Context("that have not begun", func() {
		notStarted := func(err error) {
			GinkgoHelper()
			Expect(err).To(MatchError(reexec.ErrNotStarted))
			asActionError(err)
		}

		It("say so", func() {
			done, cancel := context.WithCancel(background)
			cancel()
			for _, way := range waysIn[1:] {
				notStarted(way.in(done))
				notStarted(way.run(joining(reexec.Namespace{Type: "!net", Path: "/nowhere"})))
				notStarted(way.run(reexec.Cmd(func(cmd *exec.Cmd) { cmd.Path = "/nowhere" })))
			}
			notStarted(errorOf(all(happenings.Call(done, program{}))))
		})

		It("say so after the end of their worker", func() {
			closed, dead := start(tricks), start(tricks, silently)
			Expect(closed.Close()).To(Succeed())
			Expect(dead.Call(background, "exit")).Error().NotTo(MatchError(reexec.ErrNotStarted))
			for _, w := range []*reexec.Worker[string, string]{closed, dead} {
				notStarted(errorOf(w.Call(background, "")))
			}
		})

		It("say so if they wait for their turn", func() {
			g, w := gated(working)
			first := goCall(w.Call, background, job{Number: 1, Do: "hold"})
			g.says("began 1")
			ctx, cancel := context.WithCancelCause(background)
			second := goCall(w.Call, ctx, job{Number: 2})
			cancel(errEnough)
			_, err := end(second)
			notStarted(err)
			Expect(err).To(MatchError(errEnough))
			g.pass(1)
			Expect(end(first)).To(HaveField("Number", 1))
		})

		It("say so if the child has not even read their parameter", func() {
			_, w := gated(working)
			goOn := stop(w.PID())
			_, err := w.Call(within(50*time.Millisecond, errEnough), job{})
			notStarted(err)
			Expect(err).To(MatchError(ContainSubstring("(it had not begun its function)")))
			goOn()
		})

		It("say so whoever else asks for the end of their worker", func() {
			for range often(20) {
				w := must(working.Start(background))
				asked := make(chan error, 1)
				go func() { <-w.Done(); asked <- w.Err() }()
				stop(w.PID())
				ctx, cancel := context.WithTimeoutCause(background, 10*time.Millisecond, errEnough)
				_, err := w.Call(ctx, job{})
				cancel()
				notStarted(err)
				Expect(<-asked).To(MatchError(errEnough))
				_ = w.Close()
			}
		})
	})

	Context("that hang", func() {
		It("tell where", func() {
			for worker := range 2 {
				ctx, cancel := context.WithCancelCause(background)
				_, err := bothCalls(tricks, onStderr(func(string) { cancel(errEnough) }))[worker](ctx, "hang")
				Expect(err).To(MatchError(errEnough))
				failed := asActionError(err)
				first, _, _ := strings.Cut(string(failed.Stack), "\n\n")
				Expect(first).To(ContainSubstring("hangHere"), "the function itself comes first")
				Expect(len(failed.Stack)).To(BeNumerically("<=", 64<<10))
				Expect(err.Error()).NotTo(ContainSubstring("hangHere"))
				Expect(fmt.Sprint(err)).To(Equal(err.Error()))
				Expect(fmt.Sprintf("%+v", err)).To(SatisfyAll(
					HavePrefix(err.Error()), ContainSubstring("stderr:\nhangs"), ContainSubstring("stack:\n"), ContainSubstring("hangHere")))
			}
		})

		It("tell where also if their caller did not wait for it", func() {
			g, w := gated(obedient, ofGrace(20*time.Millisecond))
			_ = cancelled(g, w.Call, "stay")
			Eventually(w.Done()).Should(BeClosed())
			Expect(string(asActionError(w.Err()).Stack)).To(ContainSubstring("integration.obey"))
			Expect(string(asActionError(errorOf(w.Call(background, ""))).Stack)).To(ContainSubstring("integration.obey"))
		})

		It("tell why they were killed, also if other calls die with them, and have no stack to tell if the child is stopped", func() {
			for i := range 5 {
				g, w := gated(working, reexec.Concurrency(2), ofGrace(0))
				ctx, cancel := context.WithCancelCause(background)
				held := goCall(w.Call, ctx, job{Number: 1, Do: "hold"})
				g.says("began 1")
				other := goCall(w.Call, background, job{Number: 2, Do: "hold"})
				g.says("began 2")
				tellStack := Not(BeEmpty())
				if i == 0 {
					defer stop(w.PID())()
					tellStack = BeNil()
				}
				cancel(errEnough)
				for _, done := range []<-chan outcome[workReport]{held, other} {
					_, err := end(done)
					Expect(err).To(MatchError(errEnough))
					Expect(asActionError(err).Stack).To(tellStack)
				}
			}
		})

		It("and whose caller has left are not to tell of their child's end, so Close does", func() {
			g, w := gated(obedient, ofGrace(time.Hour))
			_ = cancelled(g, w.Call, "exit")
			Eventually(w.Done()).Should(BeClosed())
			Expect(exitCode(w.Close())).To(Equal(3))
		})
	})
})

func init() {
	// While a parent is stopped, its call's context ends, and the answer comes. It tells how many of them are lost.
	lostWhileStopped := func(run func(ctx context.Context, i int) (lost bool)) int32 {
		waker := exec.Command("sh", "-c", fmt.Sprintf("sleep 0.02; kill -STOP %d; sleep 0.1; kill -CONT %[1]d", os.Getpid()))
		Expect(waker.Start()).To(Succeed())
		var lost atomic.Int32
		together(8, func(i int) error {
			if run(within(60*time.Millisecond, nil), i) {
				lost.Add(1)
			}
			return nil
		})
		Expect(waker.Wait()).To(Succeed())
		return lost.Load()
	}
	roles["stopped parent"] = func([]string) any {
		var workers []*reexec.Worker[string, string]
		for range 8 {
			workers = append(workers, must(tricks.Start(background, silently)))
		}
		return lostWhileStopped(func(ctx context.Context, i int) (lost bool) {
			defer workers[i].Close()
			if _, err := workers[i].Call(ctx, "sleep 40ms"); err != nil {
				return false
			}
			return errorOf(workers[i].Call(background, "")) != nil
		})
	}
	roles["stopped parent of an action"] = func([]string) any {
		return lostWhileStopped(func(ctx context.Context, _ int) (lost bool) {
			err := reexec.RunReexecActionContext(ctx, "print slowly", reexec.Param("42"), reexec.Result(new(int)))
			return err != nil && !errors.As(err, new(*exec.ExitError)) // it was not killed
		})
	}
	if os.Getenv("reexec_early_check") != "" {
		reexec.CheckAction()
	}
}
