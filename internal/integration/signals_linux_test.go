package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/sys"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// tidy waits for the end of its context, and then cleans up, which takes a while.
var tidy = reexec.RegisterFuncContext("tidy", tidyUp)

func tidyUp(ctx context.Context, what string) (string, error) {
	if what == "nothing" {
		return "", nil
	}
	fmt.Fprintln(os.Stderr, "began")
	<-ctx.Done()
	time.Sleep(20 * time.Millisecond)
	fmt.Fprintln(os.Stderr, "cleaned up")
	return "", ctx.Err()
}

var tidyStream = reexec.RegisterStream("tidy stream", func(ctx context.Context, what string, yield func(int) bool) error {
	yield(1)
	_, err := tidyUp(ctx, what)
	return err
})

// patient is a plain function that waits for as long as it is told.
var patient = reexec.RegisterFunc("patient", func(how string) (string, error) {
	switch how {
	case "catch": // signals of its own
		caught := make(chan os.Signal, 10)
		signal.Notify(caught, syscall.SIGINT)
		time.Sleep(100 * time.Millisecond) // beyond what may be inexact
		for len(caught) > 0 {              // sent to the worker before, on a busy machine
			<-caught
		}
		fmt.Fprintln(os.Stderr, "began")
		<-caught
		select {
		case <-caught:
			return "twice", nil
		case <-time.After(100 * time.Millisecond):
		}
		signal.Stop(caught)
		return "once", nil
	case "ignored":
		out, err := exec.Command("sh", "-c", "grep SigIgn /proc/self/status").Output()
		return string(out), err
	case "":
		return "", nil
	}
	time.Sleep(20 * time.Millisecond) // beyond what may be inexact
	fmt.Fprintln(os.Stderr, "began")
	select {}
})

// signalled makes a call, and sends its child a signal when its function has begun.
func signalled(g *gate, call func(context.Context, string) (string, error), ctx context.Context, param string, s syscall.Signal) <-chan outcome[string] {
	GinkgoHelper()
	done := begun(g, call, ctx, param)
	Expect(syscall.Kill(youngest(), s)).To(Succeed())
	return done
}

var _ = Describe("signals", func() {
	all := slices.DeleteFunc([]syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}, func(s syscall.Signal) bool {
		return signal.Ignored(s) // as nohup(1) does: so do children
	})

	// A function's child gets the signal, as its parent does from a terminal or a service manager.
	Context("that reach the child of a function that obeys its context", func() {
		It("leave it the time to clean up, if the parent cancels", func() {
			for _, s := range all {
				g := newGate()
				for _, call := range bothCalls(tidy, g.options(ofGrace(time.Minute))...) {
					ctx, cancel := context.WithCancelCause(background)
					done := signalled(g, call, ctx, "", s)
					Consistently(done, "50ms").ShouldNot(Receive())
					cancel(errEnough)
					Expect(end(done)).Error().To(MatchError(errEnough))
					g.says("cleaned up")
				}
			}
		})

		It("end it after the grace period, if the parent decides nothing, and the error names them", func() {
			var checks []func()
			for _, s := range all {
				g := newGate()
				done := signalled(g, called(tidy, g.options(ofGrace(30*time.Millisecond))...), background, "", s)
				checks = append(checks, func() {
					Expect(end(done)).Error().To(MatchError(ContainSubstring("signal: " + s.String())))
					Expect(g.said("cleaned up")).To(BeZero())
				})
			}
			for _, check := range checks { // all wait at the same time
				check()
			}
		})

		It("end the first process of a PID namespace, too", func() {
			specs.NeedsNamespaces("user", "pid")
			g := newGate()
			call := called(tidy, g.options(ofGrace(30*time.Millisecond), reexec.Unshare("user", "pid"))...)
			_, err := end(signalled(g, call, background, "", syscall.SIGTERM))
			Expect(err).To(MatchError(ContainSubstring("signal: terminated")))
			Expect(err).NotTo(MatchError(reexec.ErrNotStarted), "it had begun")
		})

		It("do not end a stream before its clean-up", func() {
			g := newGate()
			ctx, cancel := context.WithCancelCause(background)
			defer cancel(nil)
			for _, err := range tidyStream.Call(ctx, "", g.options(ofGrace(time.Minute))...) {
				if err == nil {
					Expect(syscall.Kill(youngest(), syscall.SIGINT)).To(Succeed())
					time.AfterFunc(50*time.Millisecond, func() { cancel(errEnough) })
					continue
				}
				Expect(err).To(MatchError(errEnough))
			}
			g.says("cleaned up")
		})

		It("mean nothing any more once the call is over", func() {
			g, w := gated(tidy, ofGrace(100*time.Millisecond))
			ctx, cancel := context.WithCancel(background)
			done := signalled(g, w.Call, ctx, "", syscall.SIGTERM)
			cancel()
			Expect(end(done)).Error().To(MatchError(context.Canceled))
			g.says("cleaned up")
			Consistently(w.Done(), "200ms").ShouldNot(BeClosed())
			Expect(w.Call(background, "nothing")).To(BeEmpty())
			Expect(w.Close()).To(Succeed())
		})
	})

	It("do not end an idle worker", func() {
		for _, s := range all {
			plain, obedient := start(patient, silently), start(tidy, silently)
			for range 3 {
				Expect(syscall.Kill(plain.PID(), s)).To(Succeed())
				Expect(syscall.Kill(obedient.PID(), s)).To(Succeed())
				Consistently(plain.Done(), "20ms").ShouldNot(BeClosed())
				Expect(plain.Call(background, "")).To(BeEmpty())
				Expect(obedient.Call(background, "nothing")).To(BeEmpty())
			}
			Expect(plain.Close()).To(Succeed())
			Expect(obedient.Close()).To(Succeed())
		}
	})

	DescribeTable("end a plain function, and the error wraps the context's end, too, if that comes", func(cancels bool, status string, namespaces ...string) {
		if namespaces != nil {
			specs.NeedsNamespaces(namespaces...)
		}
		g := newGate()
		for _, call := range bothCalls(patient, g.options(reexec.Unshare(namespaces...))...) {
			ctx, cancel := context.WithCancelCause(background)
			done := goCall(call, ctx, "for ever")
			g.says("began")
			child := youngest()
			Expect(syscall.Kill(child, syscall.SIGTERM)).To(Succeed())
			if cancels {
				Eventually(alive).WithArguments(child).ShouldNot(Succeed())
				cancel(errEnough)
			}
			_, err := end(done)
			Expect(errors.Is(err, errEnough)).To(Equal(cancels))
			Expect(as[*exec.ExitError](err)).To(MatchError(status))
			cancel(nil)
		}
	},
		Entry("where it does not come", false, "signal: terminated"), Entry("where it comes", true, "signal: terminated"),
		// There it is out of reach of its own signals, and Go's runtime exits.
		Entry("as the first process of a PID namespace", true, "exit status 2", "user", "pid"))

	It("hold up the calls that come after the end of their worker only for a moment in all", func() {
		g, w := gated(patient)
		Expect(end(signalled(g, w.Call, background, "for ever", syscall.SIGTERM))).Error().To(HaveOccurred())
		begin := time.Now()
		for range often(100) {
			Expect(w.Call(background, "")).Error().To(MatchError(reexec.ErrNotStarted))
		}
		Expect(time.Since(begin)).To(BeNumerically("<", 10*time.Second))
	})

	It("come once to a function that catches them, and its worker is protected after that, too", func() {
		g, w := gated(patient)
		for range 2 {
			Expect(end(signalled(g, w.Call, background, "catch", syscall.SIGINT))).To(Equal("once"))
			Expect(syscall.Kill(w.PID(), syscall.SIGINT)).To(Succeed())
			Consistently(w.Done(), "20ms").ShouldNot(BeClosed())
		}
	})

	It("that the parent ignores stay ignored, in what functions start, too", func() {
		specs.NeedsCgo()
		said := tellOf[[]string](withRole("ignoring parent"))
		Expect(said).To(HaveLen(2))
		for _, line := range said {
			var mask uint64
			Expect(fmt.Sscanf(line, "SigIgn: %x", &mask)).To(Equal(1), line)
			for _, s := range all {
				Expect(mask&(1<<(s-1))).NotTo(BeZero(), "%v in %s", s, line)
			}
		}
	})

	It("to the whole group leave a function the time to clean up", func() {
		for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			for range 5 {
				parent := startParent(specs.Child("parent in a group"))
				Expect(parent.next()).To(Equal("began"))
				Expect(syscall.Kill(-parent.Process.Pid, s)).To(Succeed())
				Expect(parent.await()).To(Equal("cleaned up\nended: true\n"))
			}
		}
	})

	It("reach a parent whose stderr is non-blocking: it has all that is written there", func() {
		const size = 1 << 20
		r, w := pipe()
		Expect(unix.SetNonblock(int(w.Fd()), true)).To(Succeed())
		cmd := withRole("talkative parent", itoa(size))
		cmd.Stderr, cmd.Stdout = w, io.Discard
		Expect(cmd.Start()).To(Succeed())
		Expect(w.Close()).To(Succeed())
		Expect(unix.SetNonblock(int(r.Fd()), false)).To(Succeed())
		time.Sleep(100 * time.Millisecond) // the pipe is full
		all := must(io.ReadAll(r))
		Expect(cmd.Wait()).To(Succeed())
		Expect(strings.Count(string(all), "x")).To(Equal(size - 1))
	})
})

func init() {
	roles["ignoring parent"] = func([]string) any {
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		one := must(patient.Call(background, "ignored"))
		w := must(patient.Start(background))
		two := must(w.Call(background, "ignored"))
		Expect(w.Close()).To(Succeed())
		return []string{one, two}
	}
	specs.Roles["parent in a group"] = asParent(func([]string) {
		ctx, stop := signal.NotifyContext(background, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		_, err := tidy.Call(ctx, "", reexec.Stderr(os.Stdout), ofGrace(time.Minute))
		fmt.Printf("ended: %t\n", errors.Is(err, context.Canceled))
	})
	roles["talkative parent"] = func(args []string) any {
		must(say.Call(background, atoi(args[0])))
		return true
	}
}

// tellAndHang tells the PID of its process, as /proc has it, to file 3, and then has no ear for the end of its parent.
var tellAndHang = reexec.RegisterFunc("tell and hang", func(struct{}) (int, error) {
	pid, err := os.Readlink("/proc/self")
	if err != nil {
		return 0, err
	}
	_, _ = os.NewFile(3, "3").WriteString(pid + "\n")
	select {}
})

func init() {
	// Has a worker hang, started by an unlocked goroutine or a locked one, and possibly as the
	// first process of a new PID namespace.
	roles["mortal worker"] = func(args []string) any {
		option := reexec.Cmd(func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
			if args[1] != "" {
				asRootOfNew(cmd)
				cmd.SysProcAttr.Cloneflags &^= syscall.CLONE_NEWNS // it is not to mount anything
			}
			cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
			cmd.ExtraFiles = []*os.File{os.Stdout}
		})
		if args[0] == "locked" {
			runtime.LockOSThread()
		}
		_, err := must(tellAndHang.Start(background, option)).Call(background, struct{}{})
		return fmt.Sprint(err)
	}
}

var _ = Describe("a Pdeathsig", func() {
	DescribeTable("ends a worker that has no ear for the end of its parent", func(goroutine, new string) {
		if new != "" {
			specs.NeedsNamespaces("user", "cgroup", "ipc", "net", "pid", "uts")
		}
		expectDeath(withRole("mortal worker", goroutine, new))
	},
		Entry("started by any goroutine", "unlocked", ""), Entry("started by a locked goroutine", "locked", ""),
		Entry("as the first process of a new PID namespace", "unlocked", "new"),
		Entry("as that, started by a locked goroutine", "locked", "new"))

	DescribeTable("leaves a worker alone when threads end, and the calling goroutine as it was", func(locked bool) {
		if locked {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
		}
		for range 10 { // maybe another thread has started the worker each time
			w := start(double, mortal)
			Expect(w.Call(background, 1)).To(Equal(2))
			var there, gone sync.WaitGroup // on so many threads that all take part that nothing else needs
			there.Add(50)
			for range 50 {
				gone.Go(func() { onOwnThread(func() { there.Done(); there.Wait() }) })
			}
			gone.Wait()
			Expect(w.Call(background, 2)).To(Equal(4))
			Expect(w.Close()).To(Succeed())
		}
		for _, way := range waysIn {
			Expect(way.run(mortal)).To(Succeed())
			Expect(sys.IsLocked()).To(Equal(locked))
		}
	},
		Entry("started by any goroutine", false), Entry("started by a locked goroutine", true))
})
