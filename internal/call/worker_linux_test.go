package call

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"golang.org/x/sys/unix"
)

// hasNothingLeft expects that nothing is left of any call.
func (w *Worker) hasNothingLeft() {
	GinkgoHelper()
	g.Eventually(func(gm g.Gomega) {
		w.locked(func() {
			if !child.IsClosed(w.over) { // or else they have no answer
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

// stop stops a child until resume is called.
func (w *Worker) stop() (resume func()) {
	GinkgoHelper()
	g.Expect(syscall.Kill(w.PID(), syscall.SIGSTOP)).To(g.Succeed())
	resume = sync.OnceFunc(func() { _ = syscall.Kill(w.PID(), syscall.SIGCONT) })
	DeferCleanup(resume)
	g.Expect(unix.Waitid(unix.P_PID, w.PID(), nil, unix.WSTOPPED|unix.WNOWAIT, nil)).To(g.Succeed()) // all threads have
	return resume
}

// endOf returns the end of a child that an error tells.
func endOf(err error) (end *End) {
	GinkgoHelper()
	g.Expect(errors.As(err, &end)).To(g.BeTrue(), "%v", err)
	return end
}

// ended receives the end of a child that a call returns.
func ended(call chan error) *End {
	GinkgoHelper()
	var err error
	g.Eventually(call).Should(g.Receive(&err))
	return endOf(err)
}

var _ = Describe("a worker", func() {
	for _, concurrency := range []int{1, 4} {

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
						answer, err := w.Call(ctx, &r)
						switch {
						case err != nil:
							g.Expect(err).To(g.And(g.BeAssignableToTypeOf(&Cancelled{}), g.MatchError(errEnough), g.MatchError("enough")))
						case answer.Kind == Result:
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
		})
	}

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
	},
		Entry("of a plain function", plain()),
		Entry("of one that obeys its context", obedient()),
	)

	It("drops answers once it is to be killed, and their files", func() {
		w := worker(plain(), 2)
		r, release := pipes()
		call := specs.OK(w.begin(background, specs.OK(encodeParam(background, &request{Do: "sleep"}))))
		neighbour := make(chan error, 1)
		second := specs.OK(w.begin(background, specs.OK(encodeParam(background, &request{Do: "read", File: r}))))
		go func() {
			_, err := w.await(background, second, w.over)
			neighbour <- err
		}()
		g.Expect(w.isOpen(call, true, errEnough)).To(g.BeTrue())
		g.Eventually(neighbour).Should(g.Receive(g.Equal(errOver)))
		g.Expect(w.isOpen(call, true, errors.New("too late"))).To(g.BeFalse())
		g.Expect(release.Close()).To(g.Succeed()) // so it answers
		w.arrived()
		w.kill(call, errEnough)
		g.Expect(w.Died().Killed).To(g.Equal(errEnough))
		<-w.turns // as Call does
		<-w.turns
	})

	It("gets what was sent, though the memory changes once Call has returned", func() {
		spec, heard := obedient(), gbytes.NewBuffer()
		spec.Stderr = heard
		w := worker(spec, 1)
		resume := w.stop()
		memory := []byte(strings.Repeat("a", 4<<20))
		ctx, cancel := context.WithCancelCause(background)
		call := w.calling(ctx, request{Do: "same", Text: unsafe.String(&memory[0], len(memory))})
		w.sent(1)
		g.Consistently(call, "10ms").ShouldNot(g.Receive())
		cancel(errEnough)
		g.Eventually(call).Should(g.Receive(g.Equal(&Cancelled{Cause: errEnough, Begun: true})))
		copy(memory, strings.Repeat("b", len(memory)))
		resume()
		g.Eventually(heard).Should(gbytes.Say("^true$"))
		w.result(request{})
	})

	It("ends if files cannot be sent to it", func() {
		w := worker(plain(), 1)
		w.turns <- struct{}{}
		w.sending <- struct{}{}
		call := w.number(background)
		w.send(call, specs.OK(encodeParam(background, &request{})), []int{1 << 20})
		_, err := w.await(background, call, w.over)
		g.Expect(err).To(g.Equal(errOver))
		end := endOf(w.DiedIn(background, call))
		g.Expect(end.Killed).To(g.MatchError("cannot send open files: sendmsg: bad file descriptor"))
		g.Expect(end.NotBegun && end.Unread).To(g.BeTrue())
		<-w.turns // as Call does
	})
})
