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
	Do     string // hold, panic, pipelined, ran, or nothing
	Text   string
}

// What function working has done in its process.
var (
	atWork  atomic.Int32
	most    atomic.Int32
	ran     []int
	ranLock sync.Mutex
)

// A workReport is what it tells.
type workReport struct {
	Number, PID, Most int
	Text              string
	Ran               []int
}

func work(j job) (r workReport, err error) {
	most.Store(max(most.Load(), atWork.Add(1)))
	defer atWork.Add(-1)
	r = workReport{Number: j.Number, PID: os.Getpid(), Text: j.Text}
	if j.Do == "ran" {
		ranLock.Lock()
		defer ranLock.Unlock()
		r.Most, r.Ran = int(most.Load()), ran
		return r, nil
	}
	ranLock.Lock()
	ran = append(ran, j.Number)
	ranLock.Unlock()
	switch j.Do {
	case "hold":
		enter(fmt.Sprintf("began %d.", j.Number))
	case "panic":
		enter(fmt.Sprintf("began %d.", j.Number))
		panic("at the disco")
	case "panic at once":
		panic("at the disco")
	case "pipelined":
		fmt.Fprintf(os.Stderr, "began %d.\n", j.Number)
		for waiting() == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return r, nil
}

// waiting is how many bytes of parameters wait in this process' pipe.
func waiting() int { return waitingIn(os.Getpid()) }

// waitingIn is how many wait in that of a child.
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

var _ = Describe("concurrency of workers", func() {
	// hold has calls be held by the gate.
	hold := func(w *reexec.Worker[job, workReport], g *gate, numbers ...int) (calls []<-chan outcome[workReport]) {
		GinkgoHelper()
		for _, n := range numbers {
			calls = append(calls, goCall(w.Call, background, job{Number: n, Do: "hold"}))
			g.says(fmt.Sprintf("began %d", n))
		}
		return calls
	}

	DescribeTable("is how many calls are served at a time, by one process", func(n int, options ...option) {
		g, w := gated(working, options...)
		var calls []<-chan outcome[workReport]
		for i := range 3 * n {
			calls = append(calls, goCall(w.Call, background, job{Number: i, Do: "hold"}))
		}
		Eventually(func() int { return g.said("began") }).Should(Equal(n))
		Consistently(func() int { return g.said("began") }, "50ms").Should(Equal(n))
		g.pass(3 * n)
		for i, call := range calls {
			result := must(end(call))
			Expect(result.Number).To(Equal(i))
			Expect(result.PID).To(Equal(w.PID()))
		}
		report := must(w.Call(background, job{Do: "ran"}))
		Expect(report.Most).To(Equal(n))
		Expect(report.Ran).To(HaveLen(3 * n))
		Expect(w.Close()).To(Succeed())
	},
		Entry("one without the option", 1), Entry("one", 1, reexec.Concurrency(1)), Entry("many", 5, reexec.Concurrency(5)))

	It("has later calls answered before earlier ones", func() {
		g, w := gated(working, reexec.Concurrency(2))
		first := hold(w, g, 1)[0]
		for i := range 100 {
			result := must(w.Call(background, job{Number: i, Text: "x"}))
			Expect(result.Number).To(Equal(i))
		}
		Expect(first).NotTo(Receive())
		g.pass(1)
		Expect(end(first)).To(HaveField("Number", 1))
	})

	It("lets calls begin in the order in which they come", func() {
		g, w := gated(working)
		calls := hold(w, g, 0)
		for i := range 20 {
			calls = append(calls, goCall(w.Call, background, job{Number: i + 1}))
			// They come one after another, if each is in the child's pipe before the next one comes.
			time.Sleep(2 * time.Millisecond)
		}
		g.pass(1)
		for _, call := range calls {
			must(end(call))
		}
		report := must(w.Call(background, job{Do: "ran"}))
		Expect(slices.IsSorted(report.Ran)).To(BeTrue(), "%v", report.Ran)
	})

	It("must be one at least, and is for Start alone", func() {
		for _, n := range []int{0, -1} {
			Expect(func() { reexec.Concurrency(n) }).To(PanicWith(ContainSubstring("at least one call")))
		}
		forStart := PanicWith(ContainSubstring("option Concurrency is for Func.Start only"))
		for _, n := range []int{1, 2} {
			option := reexec.Concurrency(n)
			Expect(func() { _, _ = double.Call(background, 1, option) }).To(forStart)
			Expect(func() { counting.Call(background, 1, option) }).To(forStart)
			Expect(func() { _ = reexec.RunReexecAction("answer", option) }).To(forStart)
		}
	})

	DescribeTable("does not mix up calls", func(concurrency, callers, calls, size int) {
		w := start(working, reexec.Concurrency(concurrency))
		var all sync.WaitGroup
		failures := make(chan error, callers*calls)
		for caller := range callers {
			all.Go(func() {
				for i := range calls {
					j := job{Number: caller*calls + i, Text: strings.Repeat(string(rune('a'+caller)), rand.N(size))}
					if result, err := w.Call(background, j); err != nil || result.Number != j.Number || result.Text != j.Text {
						failures <- fmt.Errorf("wrong result of %d: %d, %w", j.Number, result.Number, err)
					}
				}
			})
		}
		all.Wait()
		Expect(failures).NotTo(Receive())
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
		// The others, who are at the gate first, are served first.
		g.pass(2)
		for _, other := range others {
			must(end(other))
		}
		_, _ = end(queued)
		others = hold(w, g, 5)
		g.pass(1)
		panicked, err := end(done)
		Expect(panicked).To(BeZero())
		own := as[*reexec.PanicError](err)
		Expect(err).To(BeIdenticalTo(own), "the call itself gets the PanicError")
		Expect(own.Value).To(Equal("at the disco"))
		Expect(string(own.Stack)).To(ContainSubstring("workers_linux_test.go"))
		for _, call := range []func() error{
			func() error { _, err := end(others[0]); return err },
			func() error { _, err := w.Call(background, job{}); return err },
			w.Err,
		} {
			err := call()
			theirs := as[*reexec.PanicError](asActionError(err))
			Expect(theirs.Value).To(Equal("at the disco"))
			Expect(err).To(MatchError(ContainSubstring("worker is gone")))
		}
		Expect(isOver(w.Done())).To(BeTrue())
		Expect(w.Close()).To(Succeed())
	})

	It("ends once if all calls panic at a time", func() {
		for range 5 {
			g, w := gated(working, reexec.Concurrency(8))
			var calls []<-chan outcome[workReport]
			for i := range 8 {
				calls = append(calls, goCall(w.Call, background, job{Number: i, Do: "panic"}))
				g.says(fmt.Sprintf("began %d", i))
			}
			g.pass(8)
			for _, call := range calls {
				_, err := end(call)
				Expect(errors.As(err, new(*reexec.PanicError))).To(BeTrue(), "%v", err)
			}
			Expect(w.Close()).To(Succeed())
		}
	})

	Context("calls that wait for their turn", func() {
		DescribeTable("never run if they are cancelled sooner, and leave the worker alone",
			func(f reexec.Func[job, workReport], size int) {
				g, w := gated(f, ofGrace(time.Hour))
				first := hold(w, g, -1)[0]
				var calls []<-chan outcome[workReport]
				ctx, cancel := context.WithCancelCause(background)
				for i := range 1000 {
					own := background
					if i%2 == 0 {
						own = ctx
					}
					calls = append(calls, goCall(w.Call, own, job{Number: i, Text: strings.Repeat("x", size)}))
				}
				cancel(reason)
				for i, call := range calls {
					if i%2 == 0 {
						_, err := end(call)
						Expect(err).To(MatchError(reason))
						Expect(err).To(MatchError(ContainSubstring("call was not started, reason: enough is enough")))
					}
				}
				Expect(first).NotTo(Receive())
				g.pass(1)
				Expect(end(first)).To(HaveField("Number", -1))
				for i, call := range calls {
					if i%2 != 0 {
						must(end(call))
					}
				}
				report := must(w.Call(background, job{Do: "ran"}))
				Expect(report.Ran).To(HaveLen(501))
				for _, n := range report.Ran {
					Expect(n % 2).NotTo(BeZero())
				}
				Expect(w.Close()).To(Succeed())
			},
			Entry("small ones", working, 0), Entry("small ones in context", workingInContext, 0),
			Entry("that are too large for the pipe", working, 20<<10))

		DescribeTable("never run even if the child does not listen, and neither do those that have begun keep their callers",
			func(concurrency int) {
				g, w := gated(obedient, ofGrace(time.Hour), reexec.Concurrency(concurrency))
				first := goCall(w.Call, background, "hold")
				g.says("began")
				goOn := stop(w.PID())
				ctx, cancel := context.WithCancelCause(background)
				var calls []<-chan outcome[string]
				for range 1000 {
					calls = append(calls, goCall(w.Call, ctx, ""))
				}
				Consistently(calls[0], "20ms").ShouldNot(Receive())
				cancel(reason)
				for _, call := range calls {
					Expect(end(call)).Error().To(MatchError(reason))
				}
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
			var all sync.WaitGroup
			var mu sync.Mutex
			never := map[int]bool{}
			failures := make(chan error, callers*calls)
			for caller := range callers {
				all.Go(func() {
					for i := range calls {
						n := caller*calls + i
						ctx, cancel := context.WithTimeoutCause(background, time.Duration(rand.N(300))*time.Microsecond, reason)
						_, err := w.Call(ctx, job{Number: n, Text: strings.Repeat("x", rand.N(500))})
						cancel()
						switch {
						case err == nil:
						case !errors.Is(err, reason):
							failures <- err
						case strings.Contains(err.Error(), "not started"):
							mu.Lock()
							never[n] = true
							mu.Unlock()
						}
					}
				})
			}
			all.Wait()
			Expect(failures).NotTo(Receive())
			report := must(w.Call(background, job{Do: "ran"}))
			Expect(never).NotTo(BeEmpty())
			for _, n := range report.Ran {
				Expect(never).NotTo(HaveKey(n), "a call that was not started has run")
			}
			Expect(w.Close()).To(Succeed())
		},
			Entry("one at a time", 1), Entry("four at a time", 4))

		It("return os.ErrClosed, and never run, if Close comes first", func() {
			g, w := gated(working, ofGrace(time.Hour))
			first := hold(w, g, -1)[0]
			var calls []<-chan outcome[workReport]
			for i := range 600 {
				calls = append(calls, goCall(w.Call, background, job{Number: i, Do: "hold"}))
			}
			closed := make(chan error, 1)
			go func() { closed <- w.Close() }()
			for _, call := range calls {
				Expect(end(call)).Error().To(MatchError(os.ErrClosed))
			}
			Expect(first).NotTo(Receive())
			g.pass(1)
			Expect(end(first)).To(HaveField("Number", -1))
			Eventually(closed).Should(Receive(BeNil()))
			Expect(g.said("began")).To(Equal(1))
		})
	})

	DescribeTable("calls that return os.ErrClosed have never run, whenever Close comes", func(concurrency int) {
		refused := 0
		for range often(60) {
			var ran bytes.Buffer
			w := start(noting, reexec.Stderr(&ran), reexec.Concurrency(concurrency))
			const callers = 16
			var all sync.WaitGroup
			never := make(chan int, callers)
			for caller := range callers {
				all.Go(func() {
					defer GinkgoRecover()
					for n := caller; ; n += callers {
						if _, err := w.Call(background, n); err != nil {
							Expect(err).To(MatchError(os.ErrClosed))
							never <- n
							return
						}
					}
				})
			}
			time.Sleep(time.Duration(rand.N(1000)) * time.Microsecond) // some moment
			Expect(w.Close()).To(Succeed())
			all.Wait()
			lines := strings.Fields(ran.String())
			for range callers {
				Expect(lines).NotTo(ContainElement(itoa(<-never)))
				refused++
			}
		}
		Expect(refused).To(BeNumerically(">", 0))
	},
		Entry("one at a time", 1), Entry("four at a time", 4))

	Context("calls whose parameter is being sent", func() {
		DescribeTable("return at once when they are cancelled",
			func(f reexec.Func[job, workReport], concurrency, calls, size int, survives bool) {
				_, w := gated(f, ofGrace(time.Hour), reexec.Concurrency(concurrency))
				Expect(w.Call(background, job{Number: 1})).To(HaveField("Number", 1))
				goOn := stop(w.PID()) // it cannot read them
				ctx, cancel := context.WithCancelCause(background)
				var done []<-chan outcome[workReport]
				for i := range calls {
					done = append(done, goCall(w.Call, ctx, job{Number: i, Text: strings.Repeat("x", size)}))
				}
				Eventually(func() int { return waitingIn(w.PID()) }).Should(BeNumerically(">", 0))
				Consistently(done[0], "20ms").ShouldNot(Receive())
				cancel(reason)
				for _, call := range done {
					Expect(end(call)).Error().To(MatchError(reason))
				}
				if !survives {
					Eventually(w.Done()).Should(BeClosed())
					Expect(w.Err()).To(MatchError(reason))
					return
				}
				goOn()
				Expect(w.Call(background, job{Number: 2})).To(HaveField("Number", 2), "the worker lives on")
				Expect(w.Close()).To(Succeed())
			},
			Entry("huge", workingInContext, 1, 1, 16<<20, true),
			Entry("huge, and many wait", workingInContext, 1, 20, 64<<10, true),
			Entry("huge, without context", working, 1, 1, 16<<20, false),
			Entry("many that together do not fit into the pipe", workingInContext, 8, 8, 30<<10, true),
			Entry("many that together do not fit into the pipe, without context", working, 8, 8, 30<<10, false))

		It("do not hold up Close", func() {
			w := start(working, ofGrace(50*time.Millisecond), reexec.Concurrency(2))
			stop(w.PID())
			large := job{Text: strings.Repeat("x", 1<<20)}
			calls := []<-chan outcome[workReport]{goCall(w.Call, background, large), goCall(w.Call, background, large)}
			Eventually(func() int { return waitingIn(w.PID()) }).Should(BeNumerically(">", 0))
			Expect(w.Close()).To(Succeed())
			for _, call := range calls {
				Expect(end(call)).Error().To(MatchError(os.ErrClosed))
			}
		})

		It("have their child killed when they are alone", func() {
			g := newGate()
			ctx, cancel := context.WithCancelCause(background)
			done := goCall(func(ctx context.Context, text string) (workReport, error) {
				return workingInContext.Call(ctx, job{Text: text, Do: "hold"}, g.options(ofGrace(20*time.Millisecond))...)
			}, ctx, strings.Repeat("x", 64<<20))
			cancel(reason)
			Expect(end(done)).Error().To(MatchError(reason))
		})
	})

	DescribeTable("releases all callers, whenever the worker ends",
		func(f reexec.Func[job, workReport], concurrency int, end func(w *reexec.Worker[job, workReport], cancel func()), is func(error) bool) {
			for i := range often(16) {
				ctx, cancel := context.WithCancelCause(background)
				w := must(f.Start(ctx, reexec.Concurrency(concurrency), silently))
				var all sync.WaitGroup
				var served atomic.Int32
				failures := make(chan error, 16)
				for caller := range 16 {
					all.Go(func() {
						for {
							result, err := w.Call(background, job{Number: caller, Text: strings.Repeat("x", rand.N(3000))})
							if err == nil && result.Number == caller {
								served.Add(1)
								continue
							}
							if !is(err) {
								failures <- fmt.Errorf("wrong error: %w", err)
							}
							return
						}
					})
				}
				for served.Load() < int32(80*i) {
					time.Sleep(10 * time.Microsecond)
				}
				end(w, func() { cancel(reason) })
				all.Wait()
				_ = w.Close()
				cancel(nil)
				close(failures)
				for err := range failures {
					Fail(err.Error())
				}
				Expect(children()).To(BeEmpty())
			}
		},
		Entry("by Close", working, 1, closeIt, isClosed),
		Entry("by Close, with contexts and others at a time", workingInContext, 4, closeIt, isClosed),
		Entry("by its death", working, 1, killIt, wasKilled),
		Entry("by its death, with others at a time", workingInContext, 4, killIt, wasKilled),
		Entry("by the end of Start's context", working, 1, cancelIt, func(err error) bool { return errors.Is(err, reason) }),
		Entry("by a call that is cancelled", working, 4, cancelCall, func(err error) bool { return errors.Is(err, context.Canceled) }),
		Entry("by a panic", working, 4, panicIt, func(err error) bool { return errors.As(err, new(*reexec.PanicError)) }))

	Context("news of workers", func() {
		It("tell of their life", func() {
			w := start(working)
			report := must(w.Call(background, job{}))
			Expect(w.PID()).To(Equal(report.PID))
			Expect(isOver(w.Done())).To(BeFalse())
			Expect(w.Err()).To(Succeed())
			Expect(w.Close()).To(Succeed())
			Expect(isOver(w.Done())).To(BeTrue())
			Expect(w.Err()).To(Succeed(), "Close went well")
		})

		It("tell of their death", func() {
			w := start(working)
			Expect(syscall.Kill(w.PID(), syscall.SIGKILL)).To(Succeed())
			Eventually(w.Done()).Should(BeClosed())
			err := w.Err()
			Expect(err).To(MatchError(ContainSubstring("signal: killed")))
			_, callErr := w.Call(background, job{})
			Expect(callErr).To(MatchError(err.Error()))
			_ = w.Close()
			Expect(w.Err()).To(HaveOccurred())
		})

		It("tell of their death also if nobody asks before Close", func() {
			w := start(working)
			Expect(syscall.Kill(w.PID(), syscall.SIGQUIT)).To(Succeed())
			Eventually(w.Done()).Should(BeClosed())
			Expect(w.Close()).To(MatchError(ContainSubstring("exit status 2")))
			Expect(w.Err()).To(MatchError(ContainSubstring("exit status 2")))
		})

		It("tell of the PID that the parent sees", func() {
			n := newNeighbour("user", "pid")
			there := n.in("!user", "!pid")
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
			Expect(syscall.Kill(child, syscall.SIGKILL)).To(Succeed())
			Eventually(w.Done()).Should(BeClosed())
			Expect(w.Err()).To(MatchError(ContainSubstring("status unknown")))
			Expect(w.PID()).To(Equal(child))
		})

		It("are not told by a zero Worker", func() {
			var zero reexec.Worker[int, int]
			Expect(func() { zero.Done() }).To(PanicWith(ContainSubstring("zero Worker")))
			Expect(func() { _ = zero.Err() }).To(PanicWith(ContainSubstring("zero Worker")))
			Expect(func() { zero.PID() }).To(PanicWith(ContainSubstring("zero Worker")))
		})
	})
})

// Ways to end a worker.
func closeIt(w *reexec.Worker[job, workReport], _ func())       { Expect(w.Close()).To(Succeed()) }
func killIt(w *reexec.Worker[job, workReport], _ func())        { _ = syscall.Kill(w.PID(), syscall.SIGKILL) }
func cancelIt(_ *reexec.Worker[job, workReport], cancel func()) { cancel() }

func cancelCall(w *reexec.Worker[job, workReport], _ func()) {
	for w.Err() == nil {
		ctx, cancel := context.WithTimeoutCause(background, time.Duration(rand.N(1000))*time.Microsecond, context.Canceled)
		_, _ = w.Call(ctx, job{})
		cancel()
	}
}

func panicIt(w *reexec.Worker[job, workReport], _ func()) {
	_, err := w.Call(background, job{Do: "panic at once"})
	Expect(errors.As(err, new(*reexec.PanicError))).To(BeTrue(), "%v", err)
}

func isClosed(err error) bool { return errors.Is(err, os.ErrClosed) }

var counting = reexec.RegisterStream("counting", func(_ context.Context, n int, yield func(int) bool) error {
	for i := range n {
		if !yield(i) {
			return errors.New("not wanted")
		}
	}
	return nil
})
