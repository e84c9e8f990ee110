package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// A job is what function working does.
type job struct {
	Number int
	Do     string // hold, panic, panic at once, exit, ran, or nothing
	Text   string
}

var (
	atWork, most atomic.Int32
	ran          []int
	ranLock      sync.Mutex
)

type workReport struct {
	Number, PID, Most int
	Text              string
	Ran               []int
}

func work(j job) (r workReport, err error) {
	most.Store(max(most.Load(), atWork.Add(1)))
	defer atWork.Add(-1)
	r = workReport{Number: j.Number, PID: os.Getpid(), Text: j.Text}
	ranLock.Lock()
	if j.Do == "ran" {
		r.Most, r.Ran = int(most.Load()), ran
	} else {
		ran = append(ran, j.Number)
	}
	ranLock.Unlock()
	switch j.Do {
	case "hold":
		enter(fmt.Sprintf("began %d.", j.Number))
	case "panic":
		enter(fmt.Sprintf("began %d.", j.Number))
		fallthrough
	case "panic at once":
		panic("at the disco")
	case "exit":
		os.Exit(0)
	}
	return r, nil
}

// waitingIn is how many bytes of parameters wait in the pipe of a child.
func waitingIn(pid int) (bytes int) {
	for fd := 4; fd < 70; fd++ {
		path := fmt.Sprintf("/proc/%d/fd/%d", pid, fd)
		mode, err := os.Lstat(path)
		if name, _ := os.Readlink(path); err != nil || !strings.HasPrefix(name, "pipe:") || mode.Mode()&0o200 != 0 {
			continue
		}
		if pipe, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0); err == nil {
			n, _ := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
			bytes += n
			_ = pipe.Close()
		}
	}
	return bytes
}

var (
	working          = reexec.RegisterFunc("working", work)
	workingInContext = reexec.RegisterFuncContext("working in context", func(_ context.Context, j job) (workReport, error) { return work(j) })
)

// noting tells on stderr that it runs.
var noting = reexec.RegisterFunc("noting", func(n int) (struct{}, error) {
	_, err := fmt.Fprintln(os.Stderr, n)
	return struct{}{}, err
})

type jobWorker = reexec.Worker[job, workReport]

// hold has calls be held by the gate.
func hold(w *jobWorker, g *gate, numbers ...int) (calls []<-chan outcome[workReport]) {
	GinkgoHelper()
	for _, n := range numbers {
		calls = append(calls, goCall(w.Call, background, job{Number: n, Do: "hold"}))
		g.says(fmt.Sprintf("began %d", n))
	}
	return calls
}

var _ = Describe("concurrency of workers", func() {
	DescribeTable("is how many calls are served at a time, by one process", func(n int, options ...option) {
		g, w := gated(working, options...)
		calls := goCalls(3*n, w.Call, background, func(i int) job { return job{Number: i, Do: "hold"} })
		Eventually(func() int { return g.said("began") }).Should(Equal(n))
		Consistently(func() int { return g.said("began") }, "50ms").Should(Equal(n))
		g.pass(3 * n)
		for i, call := range calls {
			Expect(end(call)).To(And(HaveField("Number", i), HaveField("PID", w.PID())))
		}
		Expect(w.Call(background, job{Do: "ran"})).To(And(HaveField("Most", n), HaveField("Ran", HaveLen(3*n))))
		Expect(w.Close()).To(Succeed())
	},
		Entry("one without the option", 1), Entry("one", 1, reexec.Concurrency(1)), Entry("many", 5, reexec.Concurrency(5)))

	It("has later calls answered before earlier ones", func() {
		g, w := gated(working, reexec.Concurrency(2))
		first := hold(w, g, 1)[0]
		for i := range 100 {
			Expect(w.Call(background, job{Number: i, Text: "x"})).To(HaveField("Number", i))
		}
		Expect(first).NotTo(Receive())
		g.pass(1)
		Expect(end(first)).To(HaveField("Number", 1))
	})

	It("lets calls begin in the order in which they come", func() {
		g, w := gated(working)
		calls := append(hold(w, g, 0), goCalls(20, w.Call, background, func(i int) job {
			Eventually(goroutinesIn).WithArguments("call.(*Worker).take").Should(HaveLen(i)) // the ones before wait for their turn
			return job{Number: i + 1}
		})...)
		g.pass(1)
		endAll(calls, Succeed())
		report := must(w.Call(background, job{Do: "ran"}))
		Expect(slices.IsSorted(report.Ran)).To(BeTrue(), "%v", report.Ran)
	})

	It("must be one at least, and is for Start alone", func() {
		for _, n := range []int{0, -1} {
			Expect(func() { reexec.Concurrency(n) }).To(PanicWith(ContainSubstring("at least one call")))
		}
		forStart := PanicWith(ContainSubstring("option Concurrency is for Func.Start only"))
		for _, option := range []option{reexec.Concurrency(1), reexec.Concurrency(2)} {
			Expect(func() { _, _ = double.Call(background, 1, option) }).To(forStart)
			Expect(func() { counting.Call(background, 1, option) }).To(forStart)
			Expect(func() { _ = reexec.RunReexecAction("answer", option) }).To(forStart)
		}
	})

	DescribeTable("does not mix up calls", func(concurrency, callers, calls, size int) {
		w := start(working, reexec.Concurrency(concurrency))
		together(callers, func(caller int) error {
			for i := range calls {
				j := job{Number: caller*calls + i, Text: strings.Repeat(string(rune('a'+caller)), rand.N(size))}
				if result, err := w.Call(background, j); err != nil || result.Number != j.Number || result.Text != j.Text {
					return fmt.Errorf("wrong result of %d: %d, %w", j.Number, result.Number, err)
				}
			}
			return nil
		})
		Expect(w.Close()).To(Succeed())
	},
		Entry("small ones", 1, 16, 200, 10), Entry("small ones, concurrent", 8, 16, 200, 10),
		Entry("that fill the pipe", 4, 8, 50, 60<<10), Entry("huge ones, both ways", 4, 8, 2, 2<<20),
		Entry("huge ones, one at a time", 1, 4, 2, 2<<20))

	It("ends with a panic, and the other calls get an error that wraps it", func() {
		g, w := gated(working, reexec.Concurrency(3))
		others := hold(w, g, 1, 2)
		done := goCall(w.Call, background, job{Number: 3, Do: "panic"})
		g.says("began 3")
		queued := goCall(w.Call, background, job{Number: 4})
		g.pass(2) // the others, who are at the gate first, are served first
		endAll(others, Succeed())
		_, _ = end(queued)
		others = hold(w, g, 5)
		g.pass(1)
		panicked, err := end(done)
		Expect(panicked).To(BeZero())
		own := as[*reexec.PanicError](err)
		Expect(err).To(BeIdenticalTo(own), "the call itself gets the PanicError")
		Expect(own.Value).To(Equal("at the disco"))
		Expect(string(own.Stack)).To(ContainSubstring("workers_linux_test.go"))
		_, other := end(others[0])
		_, later := w.Call(background, job{})
		for _, err := range []error{other, later, w.Err()} {
			Expect(as[*reexec.PanicError](asActionError(err)).Value).To(Equal("at the disco"))
			Expect(err).To(MatchError(ContainSubstring("worker is gone")))
		}
		Expect(isOver(w.Done())).To(BeTrue())
		Expect(w.Close()).To(Succeed())
	})

	It("ends once if all calls panic at a time", func() {
		for range often(5) {
			g, w := gated(working, reexec.Concurrency(8))
			calls := goCalls(8, w.Call, background, func(i int) job { return job{Number: i, Do: "panic"} })
			Eventually(func() int { return g.said("began") }).Should(Equal(8))
			g.pass(8)
			endAll(calls, Satisfy(hasPanicked))
			Expect(w.Close()).To(Succeed())
		}
	})

	Context("calls that wait for their turn", func() {
		DescribeTable("never run if they are cancelled sooner, and leave the worker alone", func(f reexec.Func[job, workReport], size int) {
			g, w := gated(f, ofGrace(time.Hour))
			first := hold(w, g, -1)[0]
			ctx, cancel := context.WithCancelCause(background)
			text := strings.Repeat("x", size)
			stay := goCalls(500, w.Call, background, func(i int) job { return job{Number: 2*i + 1, Text: text} })
			leave := goCalls(500, w.Call, ctx, func(i int) job { return job{Number: 2 * i, Text: text} })
			cancel(errEnough)
			endAll(leave, And(MatchError(errEnough), MatchError(ContainSubstring("call was not started, reason: enough is enough"))))
			Expect(first).NotTo(Receive())
			g.pass(1)
			Expect(end(first)).To(HaveField("Number", -1))
			endAll(stay, Succeed())
			report := must(w.Call(background, job{Do: "ran"}))
			Expect(report.Ran).To(HaveLen(501))
			Expect(report.Ran).To(HaveEach(Satisfy(func(n int) bool { return n%2 != 0 })))
			Expect(w.Close()).To(Succeed())
		},
			Entry("small ones", working, 0), Entry("small ones in context", workingInContext, 0),
			Entry("that are too large for the pipe", working, 20<<10))

		DescribeTable("never run even if the child does not listen, and neither do those that have begun keep their callers", func(concurrency int) {
			g, w := gated(obedient, ofGrace(time.Hour), reexec.Concurrency(concurrency))
			first := begun(g, w.Call, background, "hold")
			goOn := stop(w.PID())
			ctx, cancel := context.WithCancelCause(background)
			calls := goCalls(1000, w.Call, ctx, func(int) string { return "" })
			Consistently(calls[0], "20ms").ShouldNot(Receive())
			cancel(errEnough)
			endAll(calls, MatchError(errEnough))
			goOn()
			g.pass(1)
			Expect(end(first)).To(Equal("<nil>"), "the worker is left alone")
			Expect(w.Call(background, "answer")).To(Equal("<nil> <nil>"))
			Expect(w.Close()).To(Succeed())
		},
			Entry("behind one call", 1), Entry("some of them", 100), Entry("all of them have begun", 1001))

		DescribeTable("run only if they were cancelled too late, whenever that is", func(concurrency int) {
			w := start(workingInContext, reexec.Concurrency(concurrency), ofGrace(time.Hour))
			const callers, calls = 16, 150
			var never sync.Map
			together(callers, func(caller int) error {
				for n := caller * calls; n < (caller+1)*calls; n++ {
					ctx := within(time.Duration(rand.N(300))*time.Microsecond, errEnough)
					_, err := w.Call(ctx, job{Number: n, Text: strings.Repeat("x", rand.N(500))})
					if err != nil && !errors.Is(err, errEnough) {
						return err
					}
					if err != nil && strings.Contains(err.Error(), "not started") {
						never.Store(n, true)
					}
				}
				return nil
			})
			for _, n := range must(w.Call(background, job{Do: "ran"})).Ran {
				_, not := never.Load(n)
				Expect(not).To(BeFalse(), "a call that was not started has run")
			}
			some := false
			never.Range(func(any, any) bool { some = true; return false })
			Expect(some).To(BeTrue())
			Expect(w.Close()).To(Succeed())
		},
			Entry("one at a time", 1), Entry("four at a time", 4))

		It("have not begun if another call panics", func() {
			for range often(5) {
				g, w := gated(working, reexec.Concurrency(2))
				panics := goCall(w.Call, background, job{Number: -1, Do: "panic"})
				g.says("began -1")
				first := hold(w, g, -2)[0]
				calls := goCalls(20, w.Call, background, func(i int) job { return job{Number: i} })
				g.pass(1)
				endAll(calls, And(Satisfy(hasPanicked), MatchError(reexec.ErrNotStarted)))
				endAll([]<-chan outcome[workReport]{panics, first}, And(Satisfy(hasPanicked), Not(MatchError(reexec.ErrNotStarted))))
				Expect(w.Close()).To(Succeed())
			}
		})

		It("return os.ErrClosed, and never run, if Close comes first", func() {
			g, w := gated(working, ofGrace(time.Hour))
			first := hold(w, g, -1)[0]
			calls := goCalls(600, w.Call, background, func(i int) job { return job{Number: i, Do: "hold"} })
			closed := inBackground(w.Close)
			endAll(calls, MatchError(os.ErrClosed))
			Expect(first).NotTo(Receive())
			g.pass(1)
			Expect(end(first)).To(HaveField("Number", -1))
			Eventually(closed).Should(Receive(BeNil()))
			Expect(g.said("began")).To(Equal(1))
		})
	})

	DescribeTable("calls that return os.ErrClosed have never run, whenever Close comes", func(concurrency int) {
		for range often(60) {
			var ran bytes.Buffer
			w := start(noting, reexec.Stderr(&ran), reexec.Concurrency(concurrency))
			const callers = 16
			closed := make(chan error, 1)
			never := make(chan int, callers)
			time.AfterFunc(time.Duration(rand.N(1000))*time.Microsecond, func() { closed <- w.Close() })
			together(callers, func(caller int) error {
				for n := caller; ; n += callers {
					if _, err := w.Call(background, n); errors.Is(err, os.ErrClosed) {
						never <- n
						return nil
					} else if err != nil {
						return err
					}
				}
			})
			Expect(<-closed).To(Succeed())
			lines := strings.Fields(ran.String())
			for range callers {
				Expect(lines).NotTo(ContainElement(itoa(<-never)))
			}
		}
	},
		Entry("one at a time", 1), Entry("four at a time", 4))

	Context("calls whose parameter is being sent", func() {
		large := func(size int) func(int) job {
			return func(i int) job { return job{Number: i, Text: strings.Repeat("x", size)} }
		}

		DescribeTable("return at once when they are cancelled", func(f reexec.Func[job, workReport], concurrency, calls, size int, survives bool) {
			_, w := gated(f, ofGrace(time.Hour), reexec.Concurrency(concurrency))
			Expect(w.Call(background, job{Number: 1})).To(HaveField("Number", 1))
			goOn := stop(w.PID()) // it cannot read them
			ctx, cancel := context.WithCancelCause(background)
			done := goCalls(calls, w.Call, ctx, large(size))
			Eventually(func() int { return waitingIn(w.PID()) }).Should(BeNumerically(">", 0))
			Consistently(done[0], "20ms").ShouldNot(Receive())
			cancel(errEnough)
			endAll(done, MatchError(errEnough))
			if !survives {
				Eventually(w.Done()).Should(BeClosed())
				Expect(w.Err()).To(MatchError(errEnough))
				return
			}
			goOn()
			Expect(w.Call(background, job{Number: 2})).To(HaveField("Number", 2), "the worker lives on")
			Expect(w.Close()).To(Succeed())
		},
			Entry("huge", workingInContext, 1, 1, 16<<20, true), Entry("huge, and many wait", workingInContext, 1, 20, 64<<10, true),
			Entry("huge, without context", working, 1, 1, 16<<20, false),
			Entry("many that together do not fit into the pipe", workingInContext, 8, 8, 30<<10, true),
			Entry("many that together do not fit into the pipe, without context", working, 8, 8, 30<<10, false))

		It("do not hold up Close", func() {
			w := start(working, ofGrace(50*time.Millisecond), reexec.Concurrency(2))
			stop(w.PID())
			calls := goCalls(2, w.Call, background, large(1<<20))
			Eventually(func() int { return waitingIn(w.PID()) }).Should(BeNumerically(">", 0))
			Expect(w.Close()).To(Succeed())
			endAll(calls, MatchError(os.ErrClosed))
		})

		It("have their child killed when they are alone", func() {
			ctx, cancel := context.WithCancelCause(background)
			call := called(workingInContext, newGate().options(ofGrace(20*time.Millisecond))...)
			done := goCall(call, ctx, job{Text: strings.Repeat("x", 64<<20), Do: "hold"})
			cancel(errEnough)
			Expect(end(done)).Error().To(MatchError(errEnough))
		})
	})

	DescribeTable("releases all callers, whenever the worker ends",
		func(f reexec.Func[job, workReport], concurrency int, end func(w *jobWorker, cancel func()), is func(error) bool) {
			for i := range often(16) {
				ctx, cancel := context.WithCancelCause(background)
				w := must(f.Start(ctx, reexec.Concurrency(concurrency), silently))
				var served atomic.Int32
				var ending sync.WaitGroup
				ending.Go(func() {
					for served.Load() < int32(20*i) {
						time.Sleep(10 * time.Microsecond)
					}
					end(w, func() { cancel(errEnough) })
				})
				together(16, func(caller int) error {
					for {
						result, err := w.Call(background, job{Number: caller, Text: strings.Repeat("x", rand.N(3000))})
						if err == nil && result.Number == caller {
							served.Add(1)
						} else if is(err) {
							return nil
						} else {
							return fmt.Errorf("wrong error: %w", err)
						}
					}
				})
				ending.Wait()
				_ = w.Close()
				cancel(nil)
				Expect(children()).To(BeEmpty())
			}
		},
		Entry("by Close", working, 1, closeIt, isClosed),
		Entry("by Close, with contexts and others at a time", workingInContext, 4, closeIt, isClosed),
		Entry("by its death", working, 1, killIt, wasKilled),
		Entry("by its death, with others at a time", workingInContext, 4, killIt, wasKilled),
		Entry("by the end of Start's context", working, 1, func(_ *jobWorker, cancel func()) { cancel() }, func(err error) bool { return errors.Is(err, errEnough) }),
		Entry("by a call that is cancelled", working, 4, cancelCall, func(err error) bool { return errors.Is(err, context.Canceled) }),
		Entry("by a panic", working, 4, func(w *jobWorker, _ func()) { _, _ = w.Call(background, job{Do: "panic at once"}) }, hasPanicked))

	Context("news of workers", func() {
		It("tell of their life", func() {
			w := start(working)
			Expect(w.Call(background, job{})).To(HaveField("PID", w.PID()))
			Expect(isOver(w.Done())).To(BeFalse())
			Expect(w.Err()).To(Succeed())
			Expect(w.Close()).To(Succeed())
			Expect(isOver(w.Done())).To(BeTrue())
			Expect(w.Err()).To(Succeed(), "Close went well")
		})

		It("tell of their death", func() {
			w := start(working)
			Expect(kill(w.PID())).To(Succeed())
			Eventually(w.Done()).Should(BeClosed())
			err := w.Err()
			Expect(err).To(MatchError(ContainSubstring("signal: killed")))
			Expect(w.Call(background, job{})).Error().To(MatchError(err.Error()))
			_ = w.Close()
			Expect(w.Err()).To(HaveOccurred())
		})

		It("tell of their death also after Close, however good the exit status", func() {
			w := start(working)
			_, err := w.Call(background, job{Do: "exit"})
			Expect(err).To(MatchError(ContainSubstring("exit status 0")))
			Expect(w.Err()).To(MatchError(err.Error()))
			Expect(w.Close()).To(Succeed(), "a call has told")
			Expect(w.Err()).To(MatchError(err.Error()))
		})

		It("tell of their death also if nobody asks before Close", func() {
			w := start(working)
			Expect(syscall.Kill(w.PID(), syscall.SIGQUIT)).To(Succeed())
			Eventually(w.Done()).Should(BeClosed())
			Expect(w.Close()).To(MatchError(ContainSubstring("exit status 2")))
			Expect(w.Err()).To(MatchError(ContainSubstring("exit status 2")))
		})

		It("tell of the PID that the parent sees", func() {
			there := newNeighbour("user", "pid").in("!user", "!pid")
			needsToSee(there)
			w := start(pid, there)
			inside := must(w.Call(background, struct{}{}))
			status := must(os.ReadFile(fmt.Sprintf("/proc/%d/status", w.PID())))
			Expect(string(status)).To(MatchRegexp(`NSpid:\s%d\s%d\n`, w.PID(), inside))
		})

		It("tell of the PID also if somebody else has waited for the child", func() {
			signal.Ignore(syscall.SIGCHLD) // as if
			defer func() {                 // Reset would still ignore it
				heed := make(chan os.Signal, 1)
				signal.Notify(heed, syscall.SIGCHLD)
				signal.Stop(heed)
			}()
			w := start(working)
			child := w.PID()
			Expect(kill(child)).To(Succeed())
			Eventually(w.Done()).Should(BeClosed())
			Expect(w.Err()).To(MatchError(ContainSubstring("status unknown")))
			Expect(w.PID()).To(Equal(child))
		})

		It("are not told by a zero Worker", func() {
			var zero reexec.Worker[int, int]
			for _, ask := range []func(){func() { zero.Done() }, func() { _ = zero.Err() }, func() { zero.PID() }} {
				Expect(ask).To(PanicWith(ContainSubstring("zero Worker")))
			}
		})
	})
})

func closeIt(w *jobWorker, _ func()) { _ = w.Close() }
func killIt(w *jobWorker, _ func())  { _ = kill(w.PID()) }

func cancelCall(w *jobWorker, _ func()) {
	for w.Err() == nil {
		_, _ = w.Call(within(time.Duration(rand.N(1000))*time.Microsecond, context.Canceled), job{})
	}
}

func isClosed(err error) bool    { return errors.Is(err, os.ErrClosed) }
func hasPanicked(err error) bool { return errors.As(err, new(*reexec.PanicError)) }

var counting = reexec.RegisterStream("counting", func(_ context.Context, n int, yield func(int) bool) error {
	for i := range n {
		if !yield(i) {
			return errors.New("not wanted")
		}
	}
	return nil
})
