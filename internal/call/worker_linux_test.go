package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"example.com/gons/reexec/internal/sys"
)

// hasNothingLeft expects that nothing is left of any call.
func (w *Worker) hasNothingLeft() {
	GinkgoHelper()
	g.Eventually(func(gm g.Gomega) {
		w.locked(func() {
			if !isClosed(w.over) { // or else they have no answer
				gm.Expect(len(w.calls)).To(g.BeZero())
			}
			gm.Expect(w.reader == nil).To(g.BeTrue())
			gm.Expect(w.poked).To(g.BeFalse())
		})
		for _, taken := range []chan struct{}{w.turns, w.sending, w.reading} {
			gm.Expect(taken).To(g.BeEmpty())
		}
	}).Should(g.Succeed())
}

// stop stops a child, and continue has it go on.
func (w *Worker) stop() (resume func()) {
	GinkgoHelper()
	g.Expect(syscall.Kill(w.PID(), syscall.SIGSTOP)).To(g.Succeed())
	resume = sync.OnceFunc(func() { _ = syscall.Kill(w.PID(), syscall.SIGCONT) })
	DeferCleanup(resume)
	g.Expect(unix.Waitid(unix.P_PID, w.PID(), nil, unix.WSTOPPED|unix.WNOWAIT, nil)).To(g.Succeed()) // all threads have
	return resume
}

// ended receives the end of a child that a call returns.
func ended(call chan error) (end *End) {
	GinkgoHelper()
	var err error
	g.Eventually(call).Should(g.Receive(&err))
	g.Expect(errors.As(err, &end)).To(g.BeTrue(), "%v", err)
	return end
}

var _ = Describe("a worker", func() {

	for _, concurrency := range []int{1, 4} {

		It(fmt.Sprintf("answers all, %d at a time", concurrency), func() {
			w := worker(plain(), concurrency)
			var all sync.WaitGroup
			for i := range 16 {
				all.Go(func() {
					defer GinkgoRecover()
					for j := range 30 {
						text := fmt.Sprint(i, j)
						size := map[int]int{7: 1 << 16, 13: 5000}[j] // some wait for room
						got := w.result(request{Text: text + strings.Repeat(" ", size)})
						g.Expect(strings.TrimSpace(got.Text)).To(g.Equal(text))
					}
				})
			}
			all.Wait()
			w.hasNothingLeft()
			end := w.Close()
			g.Expect(end.Closed).To(g.BeTrue())
			g.Expect(end.Idle).To(g.BeTrue())
			g.Expect(errors.Join(end.Status, end.Killed, end.Fault)).To(g.BeNil())
		})

		It(fmt.Sprintf("answers those that are not cancelled, %d at a time", concurrency), func() {
			w := worker(obedient(), concurrency)
			var all sync.WaitGroup
			for i := range 12 {
				all.Go(func() {
					defer GinkgoRecover()
					random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), uint64(i)))
					for j := range 20 {
						ctx, cancel := context.WithTimeoutCause(background, time.Duration(random.IntN(3000))*time.Microsecond, errEnough)
						r := request{Text: fmt.Sprint(i, j)}
						if random.IntN(4) == 0 {
							r.Do = "wait"
						}
						answer, err := w.Call(ctx, param(ctx, r))
						switch {
						case err != nil:
							g.Expect(err).To(g.BeAssignableToTypeOf(&Cancelled{}))
							g.Expect(err).To(g.MatchError(errEnough))
							g.Expect(err.Error()).To(g.Equal("enough"))
						case answer.kind == Result:
							var got request
							g.Expect(answer.Decode(&got)).To(g.Succeed())
							g.Expect(got.Text).To(g.Equal(r.Text))
						default:
							g.Expect(string(answer.value)).To(g.Or(g.ContainSubstring("enough"), g.ContainSubstring("deadline")))
						}
						cancel()
					}
				})
			}
			all.Wait()
			g.Expect(w.result(request{Text: "well"}).Text).To(g.Equal("well"))
			w.hasNothingLeft()
		})
	}

	It("has calls take turns, first come, first served, and sends none that was cancelled before", func() {
		spec, heard := obedient().hearing()
		w := worker(spec, 1)
		ctx, cancel := context.WithCancelCause(background)
		first := w.calling(ctx, request{Do: "wait"})
		w.sent(1)
		ctx2, cancel2 := context.WithCancelCause(background)
		second := w.calling(ctx2, request{Do: "exit"})
		var others []chan error
		for i := range 5 {
			others = append(others, w.calling(background, request{Do: "stderr", Text: fmt.Sprint(i)}))
			waits := i + 2
			g.Eventually(func() int { return waiting(w) }).Should(g.Equal(waits))
		}
		cancel2(errEnough)
		g.Eventually(second).Should(g.Receive(g.Equal(&Cancelled{Cause: errEnough})))
		g.Expect(first).NotTo(g.Receive())
		cancel(errEnough)
		g.Eventually(first).Should(g.Receive(g.Equal(&Cancelled{Cause: errEnough, Begun: true})))
		for _, other := range others {
			g.Eventually(other).Should(g.Receive(g.BeNil()))
		}
		said := ""
		for len(heard) > 0 {
			said += <-heard
		}
		g.Expect(said).To(g.Equal("01234"))
		w.hasNothingLeft()
	})

	It("has calls without a turn return at Close, and gives the others the grace period", func() {
		w := worker(obedient(), 1)
		ctx, cancel := context.WithCancelCause(background)
		first := w.calling(ctx, request{Do: "wait"})
		w.sent(1)
		second, third := w.calling(background, request{Do: "exit"}), w.calling(background, request{Do: "exit"})
		g.Eventually(func() int { return waiting(w) }).Should(g.Equal(2))
		closed := make(chan *End)
		go func() { closed <- w.Close() }()
		for _, ended := range []chan error{second, third} {
			g.Eventually(ended).Should(g.Receive(g.Equal(ErrClosed)))
		}
		_, err := w.number()
		g.Expect(err).To(g.Equal(ErrClosed), "which comes just then")
		g.Consistently(first, "10ms").ShouldNot(g.Receive())
		cancel(errEnough)
		g.Eventually(first).Should(g.Receive(g.Equal(&Cancelled{Cause: errEnough, Begun: true})))
		var end *End
		g.Eventually(closed).Should(g.Receive(&end))
		g.Expect(errors.Join(end.Status, end.Killed)).NotTo(g.HaveOccurred())
		g.Expect(end.Idle).To(g.BeFalse())
		_, err = w.Call(background, param(background, request{}))
		g.Expect(err).To(g.And(g.Equal(ErrClosed), g.MatchError(os.ErrClosed), g.MatchError("worker is closed: file already closed")))
		w.hasNothingLeft()
	})

	It("is killed at Close after the grace period", func() {
		spec := obedient()
		spec.Grace = short
		w := worker(spec, 1)
		first := w.calling(background, request{Do: "wait"})
		w.sent(1)
		begin := time.Now()
		end := w.Close()
		g.Expect(time.Since(begin)).To(g.BeNumerically(">=", short))
		g.Expect(end.Killed).To(g.Equal(ErrClosed))
		g.Expect(ended(first).Killed).To(g.Equal(ErrClosed))
		g.Expect(w.Close()).To(g.BeIdenticalTo(end))
	})

	It("refuses a call whose context has ended by the time it may be sent", func() {
		w := worker(plain(), 1)
		ctx, cancel := context.WithCancelCause(background)
		p := param(ctx, request{Text: "never"})
		cancel(errEnough)
		g.Expect(w.Refuses(ctx)).To(g.Equal(&Cancelled{Cause: errEnough}))
		for range 20 {
			_, err := w.Call(ctx, p)
			g.Expect(err).To(g.Equal(&Cancelled{Cause: errEnough}))
		}
		g.Expect(w.Refuses(background)).To(g.BeNil())
		w.result(request{})
		w.hasNothingLeft()
	})

	DescribeTable("gives the answer that has arrived before the end of the context", func(spec Spec) {
		w := worker(spec, 2)
		for range 20 {
			w.reading <- struct{}{} // nothing reads
			ctx, cancel := context.WithCancelCause(background)
			call := w.calling(ctx, request{})
			w.sent(1)
			w.arrived()
			cancel(errEnough)
			g.Eventually(call).Should(g.Receive(g.BeNil()))
			<-w.reading
		}
		w.result(request{})
		w.hasNothingLeft()
	},
		Entry("of a plain function", plain()),
		Entry("of one that obeys its context", obedient()),
	)

	It("is killed when a function that knows no context is cancelled, and says where it was", func() {
		w := worker(plain(), 2)
		ctx, cancel := context.WithCancelCause(background)
		first, second := w.calling(background, request{Do: "sleep"}), w.calling(ctx, request{Do: "sleep"})
		w.sent(2)
		cancel(errEnough)
		for _, call := range []chan error{first, second} {
			g.Expect(ended(call).Killed).To(g.Equal(errEnough))
		}
		g.Eventually(w.Exited()).Should(g.BeClosed())
		g.Expect(string(w.Died().Stack)).To(g.ContainSubstring("(*request).obey"))
		third := ended(w.calling(background, request{}))
		g.Expect(third.NotBegun).To(g.BeTrue())
		g.Expect(third.Unread).To(g.BeFalse())
		g.Expect(third.Killed).To(g.Equal(errEnough))
		g.Expect(third.Stack).NotTo(g.BeEmpty())
		w.hasNothingLeft()
	})

	It("tells all calls why it is killed, and where it was, though there is no grace period", func() {
		spec, heard := plain().hearing()
		spec.Grace = 0
		w := worker(spec, 2)
		ctx, cancel := context.WithCancelCause(background)
		first := w.calling(background, request{Do: "sleep", Text: "begun"})
		g.Eventually(heard).Should(g.Receive())
		second := w.calling(ctx, request{Do: "sleep", Text: "begun"})
		g.Eventually(heard).Should(g.Receive())
		cancel(errEnough)
		for _, call := range []chan error{first, second} {
			end := ended(call)
			g.Expect(end.Killed).To(g.Equal(errEnough))
			g.Expect(string(end.Stack)).To(g.ContainSubstring("(*request).obey"))
		}
	})

	It("drops answers once it is to be killed, and their files", func() {
		w := worker(plain(), 2)
		r, release := pipes()
		call := ok(w.begin(background, param(background, request{Do: "sleep"})))
		neighbour := make(chan error, 1)
		second := ok(w.begin(background, param(background, request{Do: "read", File: r})))
		go func() {
			_, err := w.await(background, second, w.over)
			neighbour <- err
		}()
		g.Expect(w.isOpen(call, errEnough)).To(g.BeTrue())
		g.Eventually(neighbour).Should(g.Receive(g.Equal(errOver)))
		g.Expect(w.isOpen(call, errors.New("too late"))).To(g.BeFalse())
		g.Expect(release.Close()).To(g.Succeed()) // so it answers
		w.arrived()
		w.kill(call, errEnough)
		g.Expect(w.Died().Killed).To(g.Equal(errEnough))
	})

	It("is killed when a function does not obey its context in time, and says where it was", func() {
		spec := obedient()
		spec.Grace = short
		w := worker(spec, 1)
		ctx, cancel := context.WithCancelCause(background)
		call := w.calling(ctx, request{Do: "sleep"})
		w.sent(1)
		second := w.calling(background, request{})
		begin := time.Now()
		cancel(errEnough)
		g.Eventually(call).Should(g.Receive(g.Equal(&Cancelled{Cause: errEnough, Begun: true})))
		end := ended(second)
		g.Expect(time.Since(begin)).To(g.BeNumerically(">=", short))
		g.Expect(end.Killed).To(g.Equal(errEnough))
		g.Expect(end.NotBegun).To(g.BeTrue())
		g.Expect(string(end.Stack)).To(g.ContainSubstring("(*request).obey"))
		g.Eventually(w.Exited()).Should(g.BeClosed())
		w.hasNothingLeft()
	})

	It("lives on when a function obeys its context in time, whose answer and files are dropped", func() {
		w := worker(obedient(), 1)
		r, theirs := pipes()
		ctx, cancel := context.WithCancelCause(background)
		call := w.calling(ctx, request{Do: "clean up", Time: 20 * time.Millisecond, File: theirs})
		w.sent(1)
		cancel(errEnough)
		g.Eventually(call).Should(g.Receive(g.Equal(&Cancelled{Cause: errEnough, Begun: true})))
		g.Expect(w.turns).To(g.HaveLen(1), "its turn is taken meanwhile")
		w.result(request{})
		closed(r, theirs)
		w.hasNothingLeft()
	})

	It("may be told of a cancellation before it has read the call", func() {
		w := worker(obedient(), 1)
		resume := w.stop()
		ctx, cancel := context.WithCancelCause(background)
		call := w.calling(ctx, request{Do: "wait"})
		w.sent(1)
		cancel(errEnough)
		g.Eventually(call).Should(g.Receive(g.Equal(&Cancelled{Cause: errEnough, Begun: true})))
		resume()
		w.result(request{})
		w.hasNothingLeft()
	})

	It("that has not read its call has not begun, and is not asked where it was", func() {
		w := worker(plain(), 1)
		w.stop()
		ctx, cancel := context.WithCancelCause(background)
		call := w.calling(ctx, request{})
		w.sent(1)
		cancel(errEnough)
		end := ended(call)
		g.Expect(end.Unread && end.NotBegun).To(g.BeTrue())
		g.Expect(end.Killed).To(g.Equal(errEnough))
		g.Expect(end.Stack).To(g.BeEmpty())
		w.hasNothingLeft()
	})

	It("that cannot say where it was is killed a moment later", func() {
		spec, heard := plain().hearing()
		w := worker(spec, 1)
		ctx, cancel := context.WithCancelCause(background)
		call := w.calling(ctx, request{Do: "sleep", Text: "begun"})
		g.Eventually(heard).Should(g.Receive())
		w.stop()
		cancel(errEnough)
		end := ended(call)
		g.Expect(end.Unread || end.NotBegun).To(g.BeFalse())
		g.Expect(end.Killed).To(g.Equal(errEnough))
		g.Expect(end.Stack).To(g.BeEmpty())
		w.hasNothingLeft()
	})

	It("gets what was sent, though the memory changes once Call has returned", func() {
		spec, heard := obedient().hearing()
		w := worker(spec, 1)
		resume := w.stop()
		memory := []byte(strings.Repeat("a", 4<<20))
		ctx, cancel := context.WithCancelCause(background)
		p := param(ctx, request{Do: "same", Text: unsafe.String(&memory[0], len(memory))})
		returned := make(chan error, 1)
		go func() {
			_, err := w.Call(ctx, p)
			returned <- err
		}()
		w.sent(1)
		g.Consistently(returned, "10ms").ShouldNot(g.Receive())
		cancel(errEnough)
		g.Eventually(returned).Should(g.Receive(g.Equal(&Cancelled{Cause: errEnough, Begun: true})))
		copy(memory, strings.Repeat("b", len(memory)))
		resume()
		g.Eventually(heard).Should(g.Receive(g.Equal("true")))
		w.result(request{})
		w.hasNothingLeft()
	})

	It("ends with its context", func() {
		spec := obedient()
		spec.Concurrency = 1
		ctx, cancel := context.WithCancelCause(background)
		w := ok(Start(ctx, spec))
		g.Expect(w.PID()).To(g.BeNumerically(">", 1))
		call := w.calling(background, request{Do: "sleep"})
		w.sent(1)
		cancel(errEnough)
		g.Expect(ended(call).Killed).To(g.Equal(errEnough))
		g.Expect(w.Close().Killed).To(g.Equal(errEnough))
		w.hasNothingLeft()
	})

	It("tells a call, and those that come after it, of a panic and of its end", func() {
		w := worker(plain(), 1)
		answer := ok(w.Call(background, param(background, request{Do: "panic", Text: "oh"})))
		g.Expect(answer.Kind()).To(g.Equal(Panicked))
		g.Expect(w.DiedIn(background, nil)).To(g.BeAssignableToTypeOf(&End{}))
		_, err := w.Call(background, param(background, request{}))
		g.Expect(err).To(g.MatchError("child has ended"))
		g.Expect(err.(*End).NotBegun).To(g.BeTrue())
		g.Expect(string(err.(*End).Word.value)).To(g.ContainSubstring("oh"))
		w.hasNothingLeft()

		w = worker(plain(), 1)
		end := ended(w.calling(background, request{Do: "exit"}))
		g.Expect(end.Status).To(g.MatchError("exit status 3"))
		g.Expect(end.NotBegun).To(g.BeFalse())
		w.hasNothingLeft()
	})

	It("has passed on stderr when a call returns", func() {
		spec := plain()
		var said atomic.Int64
		spec.Stderr = writer(func(b []byte) (int, error) {
			said.Add(int64(len(b)))
			return len(b), nil
		})
		w := worker(spec, 1)
		for i := range 20 {
			w.result(request{Do: "stderr", Text: strings.Repeat("x", 1000)})
			g.Expect(said.Load()).To(g.BeEquivalentTo(1000 * (i + 1)))
		}
	})

	It("tells why stderr could not be passed on", func() {
		spec := plain()
		spec.Stderr = writer(func(b []byte) (int, error) { return 0, errEnough })
		w := worker(spec, 1)
		answer := ok(w.Call(background, param(background, request{Do: "stderr", Text: "x"})))
		g.Expect(answer.Relay).To(g.MatchError(errEnough))
	})

	It("gets files and gives them, and none that is closed", func() {
		w := worker(plain(), 2)
		r, theirs := pipes()
		for range 3 {
			got := w.result(request{File: theirs})
			g.Expect(got.File.WriteString("x")).To(g.Equal(1))
			g.Expect(got.File.Close()).To(g.Succeed())
		}
		p := param(background, request{File: theirs})
		g.Expect(theirs.Close()).To(g.Succeed())
		_, err := w.Call(background, p)
		g.Expect(err).To(g.BeAssignableToTypeOf(&UnsentError{}))
		g.Expect(err).To(g.MatchError(os.ErrClosed))
		g.Expect(err).To(g.MatchError(g.ContainSubstring("cannot send file")))
		w.hasNothingLeft()
		g.Expect(io.ReadAll(r)).To(g.HaveLen(3))
	})

	It("does not begin a call whose files cannot be sent", func() {
		w := worker(plain(), 1)
		call := w.calling(background, request{Do: "sleep"})
		var begun *Call
		g.Eventually(func() bool {
			w.locked(func() { begun = w.reader })
			return begun != nil
		}).Should(g.BeTrue())
		w.fail(&Call{answers: make(chan frame)}, errors.New("of a call that is over"))
		w.fail(begun, errEnough)
		g.Eventually(call).Should(g.Receive(g.Equal(&UnsentError{errEnough})))
		w.hasNothingLeft()
	})

	It("is read by goroutines of its own for callers that are locked to their threads", func() {
		w := worker(obedient(), 2)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		g.Expect(sys.IsLocked()).To(g.BeTrue())
		w.result(request{})
		ctx, cancel := context.WithCancelCause(background)
		cancel(errEnough)
		_, err := w.Call(ctx, param(ctx, request{}))
		g.Expect(err).To(g.Equal(&Cancelled{Cause: errEnough}))
		w.hasNothingLeft()
	})

	It("is not understood if it is another program", func() {
		spec := plain()
		spec.Action, spec.Concurrency = "replaced", 1
		_, err := Start(background, spec)
		var end *End
		g.Expect(errors.As(err, &end)).To(g.BeTrue())
		g.Expect(end.Fault).To(g.Equal(errReplaced))
		g.Expect(end.NotBegun).To(g.BeTrue())
	})

})

// waiting is how many calls wait for a turn, which only stack traces tell.
func waiting(w *Worker) int {
	trace := make([]byte, 1<<20)
	trace = trace[:runtime.Stack(trace, true)]
	return strings.Count(string(trace), "(*Worker).begin(0x"+strings.TrimPrefix(fmt.Sprintf("%p", w), "0x"))
}
