package conversation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/orders"
	"example.com/gons/reexec/internal/process"
	"example.com/gons/reexec/internal/serve"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// short is a grace period that nobody wants to wait for twice.
const short = 50 * time.Millisecond

var (
	errEnough  = errors.New("enough")
	background = context.Background()
)

func init() {
	// A child that serves what its parameter says.
	specs.Roles["serve"] = func([]string) {
		o := orders.Take()
		serve.Serve(o, serve.Function{Context: o.Action == "obedient", Files: true, Call: func(ctx context.Context, decode func(any) error, emit func(any) bool) (any, error) {
			var param request
			if err := decode(&param); err != nil {
				return nil, err
			}
			switch param.Do {
			case "wait":
				<-ctx.Done()
				return nil, context.Cause(ctx)
			case "sleep":
				time.Sleep(time.Minute)
			case "panic":
				panic(param.Text)
			case "exit":
				os.Exit(3)
			case "stderr":
				fmt.Fprint(os.Stderr, param.Text)
			case "count":
				for i := 0; emit(&i); i++ {
				}
				counted := "counted"
				return &counted, nil
			}
			return &param, nil
		}})
	}
	// A child that says what its parameter says, but for the first byte of which each frame's kind is made.
	specs.Roles["hostile"] = func(args []string) {
		o := orders.Take()
		answers, socket := os.NewFile(uintptr(o.Answers), "answers"), os.NewFile(uintptr(o.Control), "control")
		null, _ := os.Open(os.DevNull)
		for _, arg := range args {
			var word, kind, value string
			var call uint64
			var files int
			_, _ = fmt.Sscan(arg, &word, &call, &files, &kind, &value)
			switch word {
			case "files":
				var all []*os.File
				for range files {
					all = append(all, null)
				}
				descriptors, _ := frame.Duplicate(all)
				_ = frame.SendFiles(socket, call, descriptors, false)
			case "cancel":
				_ = frame.Send(socket, frame.Message{Call: call, Cancel: true}, true)
			case "frame":
				var all []*os.File
				for range files {
					all = append(all, null)
				}
				said := any(&value)
				if len(all) > 0 && value != "none" {
					said = &all
				}
				b := frame.MustEncode(frame.Header{Kind: frame.Kind(kind[0]), Call: call}, said).Bytes()
				b[29] = byte(files)
				_, _ = answers.Write(b)
			case "flood":
				text := strings.Repeat("x", 1<<10)
				b := frame.MustEncode(frame.Header{Kind: frame.Event, Call: call}, &text).Bytes()
				for {
					if _, err := answers.Write(b); err != nil {
						os.Exit(1)
					}
				}
			case "read":
				_, _ = io.ReadFull(os.Stdin, make([]byte, 30))
			case "close":
				_ = answers.Close()
			case "linger":
				time.Sleep(time.Minute)
			}
		}
	}
}

// A request is a parameter, and a result.
type request struct {
	Do   string
	Text string
	File *os.File
}

// plays has a child play a role.
func plays(role string, args ...string) process.Spec {
	return process.Spec{
		Env:   []string{specs.Role(role, args...)},
		Grace: time.Minute,
	}
}

// worker starts a child for many calls, which ends with the spec.
func worker(spec Spec, concurrency int) *Conversation {
	GinkgoHelper()
	spec.Open, spec.Ready, spec.Concurrency = true, true, concurrency
	c, err := Start(background, spec)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { c.Kill(nil, errEnough) })
	return c
}

// obedient is a function that obeys its context.
func obedient() Spec {
	spec := Spec{Spec: plays("serve"), Context: true}
	spec.Action = "obedient"
	return spec
}

// param encodes a parameter.
func (c *Conversation) param(ctx context.Context, value any) Param {
	GinkgoHelper()
	p, err := c.spec.NewParam(ctx, specs.Pointer(value))
	Expect(err).NotTo(HaveOccurred())
	return p
}

// calling calls elsewhere, and tells its error.
func (c *Conversation) calling(ctx context.Context, do string) (ended chan error) {
	GinkgoHelper()
	p := c.param(ctx, request{Do: do})
	ended = make(chan error, 1)
	go func() {
		f, err := c.Call(ctx, p)
		f.CloseFiles()
		ended <- err
	}()
	return ended
}

// locked does what needs mu, and gives it back even if an assertion fails.
func (c *Conversation) locked(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// sent waits until so many calls are unanswered.
func (c *Conversation) sent(n int) {
	GinkgoHelper()
	Eventually(func() (sent int) {
		c.locked(func() { sent = len(c.calls) })
		return sent
	}).Should(Equal(n))
}

// hasWriter waits until a call waits to write.
func (c *Conversation) hasWriter() {
	GinkgoHelper()
	Eventually(func() (has bool) {
		c.locked(func() { has = c.writer != nil })
		return has
	}).Should(BeTrue())
}

// idle expects that nothing is left of any call.
func (c *Conversation) idle() {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		c.locked(func() {
			g.Expect(c.calls).To(BeEmpty())
			g.Expect(c.waiting).To(BeEmpty())
			g.Expect(c.queued).To(BeZero())
			g.Expect(c.reader).To(BeNil())
			g.Expect(c.writer).To(BeNil())
		})
	}).Should(Succeed())
}

var _ = Describe("a worker", func() {

	for _, concurrency := range []int{1, 4} {

		It(fmt.Sprintf("answers everybody, %d at a time", concurrency), func() {
			c := worker(Spec{Spec: plays("serve")}, concurrency)
			var all sync.WaitGroup
			for i := range 16 {
				all.Go(func() {
					defer GinkgoRecover()
					for j := range 30 {
						text := fmt.Sprint(i, j)
						size := map[int]int{7: 1 << 16, 13: 5000}[j] // some wait for room
						f, err := c.Call(background, c.param(background, request{Text: text + strings.Repeat(" ", size)}))
						Expect(err).NotTo(HaveOccurred())
						var got request
						Expect(f.Decode(&got)).To(Succeed())
						Expect(strings.TrimSpace(got.Text)).To(Equal(text))
					}
				})
			}
			all.Wait()
			c.idle()
			end := c.Close()
			Expect(end.Closed).To(BeTrue())
			Expect(end.Idle).To(BeTrue())
			Expect(errors.Join(end.Status, end.Killed, end.Fault)).To(BeNil())
		})

		It(fmt.Sprintf("answers those that are not cancelled, %d at a time", concurrency), func() {
			c := worker(obedient(), concurrency)
			var all sync.WaitGroup
			for i := range 12 {
				all.Go(func() {
					defer GinkgoRecover()
					random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), uint64(i)))
					for j := range 20 {
						ctx, cancel := context.WithTimeoutCause(background, time.Duration(random.IntN(3000))*time.Microsecond, errEnough)
						text := fmt.Sprint(i, j)
						r := request{Text: text}
						if random.IntN(4) == 0 {
							r.Do = "wait"
						}
						f, err := c.Call(ctx, c.param(ctx, r))
						switch {
						case err != nil:
							Expect(err).To(BeAssignableToTypeOf(&Cancelled{}))
							Expect(err).To(MatchError(errEnough))
							Expect(err.Error()).To(Equal("enough"))
						case f.Kind == frame.Result:
							var got request
							Expect(f.Decode(&got)).To(Succeed())
							Expect(got.Text).To(Equal(text))
						default:
							Expect(string(f.Value)).To(ContainSubstring("enough")) // the function was told in time
						}
						cancel()
					}
				})
			}
			all.Wait()
			f, err := c.Call(background, c.param(background, request{Text: "well"}))
			Expect(err).NotTo(HaveOccurred())
			Expect(string(f.Value)).To(ContainSubstring("well"))
			c.idle()
		})
	}

	It("withdraws a call that has not begun, and lives on", func() {
		c := worker(obedient(), 1)
		ctx, cancel := context.WithCancelCause(background)
		first := c.calling(ctx, "wait")
		c.sent(1)
		ctx2, cancel2 := context.WithCancelCause(background)
		second := c.calling(ctx2, "exit")
		c.sent(2)
		third := c.calling(background, "")
		c.sent(3)
		cancel2(errEnough)
		Eventually(second).Should(Receive(Equal(&Cancelled{Cause: errEnough})))
		Expect(first).NotTo(Receive())
		cancel(errEnough)
		Eventually(first).Should(Receive(Equal(&Cancelled{Cause: errEnough, Begun: true})))
		Eventually(third).Should(Receive(BeNil()))
		c.idle()
	})

	It("does not send what was cancelled before its turn came", func() {
		c := worker(obedient(), 1)
		c.room = 0 // as for functions with files
		ctx, cancel := context.WithCancelCause(background)
		first := c.calling(background, "wait")
		c.sent(1)
		second := c.calling(ctx, "exit")
		c.hasWriter()
		third := c.calling(ctx, "exit")
		cancel(errEnough)
		for _, ended := range []chan error{second, third} {
			Eventually(ended).Should(Receive(Equal(&Cancelled{Cause: errEnough})))
		}
		fourth := c.calling(background, "exit")
		c.hasWriter()
		fifth := c.calling(background, "exit")
		closed := make(chan *End)
		c.spec.Grace = short
		go func() { closed <- c.Close() }()
		for _, ended := range []chan error{fourth, fifth} {
			Eventually(ended).Should(Receive(Equal(ErrClosed)))
		}
		Expect(first).NotTo(Receive())
		c.p.Abort(errEnough) // long before the grace period is over
		var end *End
		Eventually(closed).Should(Receive(&end))
		Expect(end.Killed).To(Equal(errEnough))
		Expect(end.Idle).To(BeFalse())
		Eventually(first).Should(Receive(BeIdenticalTo(end)))
	})

	It("does not let a call wait that comes just before Close", func() {
		c := worker(obedient(), 1)
		c.room = 0
		first := c.calling(background, "wait")
		c.sent(1)
		c.writing <- struct{}{} // it has seen no sign of Close yet
		go c.Close()
		Eventually(c.IsClosed).Should(BeTrue())
		c.locked(c.withdrawAll)
		sent := make(chan error)
		p := c.param(background, request{})
		go func() { sent <- c.send(background, newCall(), p) }()
		Eventually(sent).WithTimeout(5 * time.Second).Should(Receive(Equal(ErrClosed)))
		Expect(first).NotTo(Receive())
	})

	It("has calls that have not begun withdrawn by Close", func() {
		c := worker(obedient(), 1)
		ctx, cancel := context.WithCancelCause(background)
		first := c.calling(ctx, "wait")
		c.sent(1)
		second := c.calling(background, "exit")
		c.sent(2)
		closed := make(chan *End)
		go func() { closed <- c.Close() }()
		Eventually(second).Should(Receive(Equal(ErrClosed)))
		Consistently(first, "10ms").ShouldNot(Receive())
		cancel(errEnough)
		Eventually(first).Should(Receive(Equal(&Cancelled{Cause: errEnough, Begun: true})))
		var end *End
		Eventually(closed).Should(Receive(&end))
		Expect(end.Status).NotTo(HaveOccurred())
		_, err := c.Call(background, c.param(background, 1))
		Expect(err).To(MatchError(os.ErrClosed))
	})

	// queued is a call that is said to be in the child, behind nobody.
	queued := func(c *Conversation, number uint64) *Call {
		call := newCall()
		call.number = number
		c.calls = append(c.calls, call)
		return call
	}

	It("has an answer that it was withdrawn before whoever withdraws it has done so", func() {
		spec := obedient()
		spec.Concurrency = 1
		c := worker(spec, 1)
		Expect(syscall.Kill(c.PID(), syscall.SIGSTOP)).To(Succeed())
		defer func() { _ = syscall.Kill(c.PID(), syscall.SIGCONT) }()
		Expect(unix.Waitid(unix.P_PID, c.PID(), nil, unix.WSTOPPED|unix.WNOWAIT, nil)).To(Succeed()) // all threads have
		for frame.Send(c.p.Control, frame.Withdrawal(1000), false) == nil {
		}
		c.locked(func() {
			first, call := queued(c, 10), queued(c, 11)
			Expect(c.withdraw(call, &doubt{errEnough, func() {}})).To(BeFalse())
			go c.withdrawLater(call)
			c.deliver(&frame.Frame{Header: frame.Header{Kind: frame.Withdrawn, Call: 11}}, nil)
			Expect(call.err).To(Equal(errEnough))
			c.finish(first)
		})
		Expect(syscall.Kill(c.PID(), syscall.SIGCONT)).To(Succeed())
		_, err := c.Call(background, c.param(background, request{Text: "still there"}))
		Expect(err).NotTo(HaveOccurred())
	})

	It("is spared if a call that might have begun has not", func() {
		defer func(old time.Duration) { moment = old }(moment)
		moment = time.Hour
		c := worker(Spec{Spec: plays("serve")}, 1)
		ctx, cancel := context.WithCancelCause(background)
		cancel(errEnough)
		var first, call *Call
		c.locked(func() { first, call = queued(c, 10), queued(c, 11) })
		c.cancel(ctx, call)
		c.locked(func() {
			c.finish(first)
			c.settle(c.doubted)
		})
		Consistently(c.Exited(), "20ms").ShouldNot(BeClosed())
		c.locked(func() {
			c.deliver(&frame.Frame{Header: frame.Header{Kind: frame.Withdrawn, Call: 11}}, nil)
			Expect(call.err).To(Equal(&Cancelled{Cause: errEnough}))
		})
		_, err := c.Call(background, c.param(background, request{Text: "still there"}))
		Expect(err).NotTo(HaveOccurred())
	})

	It("is spared, and nothing left, if Close and a context withdraw the same call", func() {
		defer func(old time.Duration) { moment = old }(moment)
		moment = 10 * time.Millisecond
		c := worker(Spec{Spec: plays("serve")}, 2)
		ctx, cancel := context.WithCancelCause(background)
		cancel(errEnough)
		var first, second, call *Call
		c.locked(func() {
			first, second, call = queued(c, 10), queued(c, 11), queued(c, 12)
			c.withdrawAll()
		})
		c.cancel(ctx, call)
		c.locked(func() {
			c.finish(first)
			c.finish(second)
			c.settle(c.doubted)
			c.deliver(&frame.Frame{Header: frame.Header{Kind: frame.Withdrawn, Call: 12}}, nil)
		})
		Consistently(c.Exited(), "50ms").ShouldNot(BeClosed())
	})

	It("refuses a call whose context has ended by the time it may be sent", func() {
		c := worker(Spec{Spec: plays("serve")}, 1)
		ctx, cancel := context.WithCancelCause(background)
		p := c.param(ctx, request{Text: "never"})
		cancel(errEnough)
		for range 20 {
			_, err := c.Call(ctx, p)
			Expect(err).To(Equal(&Cancelled{Cause: errEnough}))
		}
		_, err := c.Call(background, c.param(background, request{Text: "still there"}))
		Expect(err).NotTo(HaveOccurred())
	})

	It("keeps no answer that has been taken", func() {
		c := worker(Spec{Spec: plays("serve")}, 1)
		_, err := c.Call(background, c.param(background, request{Text: "large"}))
		Expect(err).NotTo(HaveOccurred())
		Expect(c.frame.Value).To(BeEmpty())
	})

	It("is killed when a function that knows no context is cancelled", func() {
		c := worker(Spec{Spec: plays("serve")}, 2)
		ctx, cancel := context.WithCancelCause(background)
		first, second := c.calling(background, "sleep"), c.calling(ctx, "sleep")
		c.sent(2)
		cancel(errEnough)
		for _, ended := range []chan error{first, second} {
			var err error
			Eventually(ended).Should(Receive(&err))
			Expect(err).To(BeAssignableToTypeOf(&End{}))
			Expect(err.(*End).Killed).To(Equal(errEnough))
		}
		Eventually(c.Exited()).Should(BeClosed())
	})

	It("is killed when a function does not obey its context in time", func() {
		spec := obedient()
		spec.Grace = short
		c := worker(spec, 1)
		ctx, cancel := context.WithCancelCause(background)
		ended := c.calling(ctx, "sleep")
		c.sent(1)
		begin := time.Now()
		cancel(errEnough)
		Eventually(ended).Should(Receive(Equal(&Cancelled{Cause: errEnough, Begun: true})))
		Eventually(c.Exited()).Should(BeClosed())
		Expect(time.Since(begin)).To(BeNumerically(">=", short))
		Expect(c.Finish().Killed).To(Equal(errEnough))
	})

	It("ends with its context", func() {
		spec := obedient()
		spec.Open, spec.Ready, spec.Concurrency = true, true, 1
		ctx, cancel := context.WithCancelCause(background)
		c, err := Start(ctx, spec)
		Expect(err).NotTo(HaveOccurred())
		Expect(c.PID()).To(BeNumerically(">", 1))
		ended := c.calling(background, "sleep")
		c.sent(1)
		cancel(errEnough)
		Eventually(ended).Should(Receive(Equal(c.Finish())))
		Expect(c.Finish().Killed).To(Equal(errEnough))
	})

	It("tells a call, and those that wait, of a panic and of its end", func() {
		c := worker(Spec{Spec: plays("serve")}, 1)
		f, err := c.Call(background, c.param(background, request{Do: "panic", Text: "oh"}))
		Expect(err).NotTo(HaveOccurred())
		Expect(f.Kind).To(Equal(frame.Panicked))
		_, err = c.Call(background, c.param(background, request{}))
		Expect(err).To(BeAssignableToTypeOf(&End{}))
		Expect(string(err.(*End).Word.Value)).To(ContainSubstring("oh"))
		Expect(err).To(MatchError("child has ended"))

		c = worker(Spec{Spec: plays("serve")}, 1)
		_, err = c.Call(background, c.param(background, request{Do: "exit"}))
		Expect(err).To(BeAssignableToTypeOf(&End{}))
		Expect(err.(*End).Status).To(MatchError("exit status 3"))
	})

	It("has passed on stderr when a call returns", func() {
		spec := Spec{Spec: plays("serve")}
		var said atomic.Int64
		spec.Stderr = writer(func(b []byte) (int, error) {
			said.Add(int64(len(b)))
			return len(b), nil
		})
		c := worker(spec, 1)
		for i := range 20 {
			_, err := c.Call(background, c.param(background, request{Do: "stderr", Text: strings.Repeat("x", 1000)}))
			Expect(err).NotTo(HaveOccurred())
			Expect(said.Load()).To(BeEquivalentTo(1000 * (i + 1)))
		}
	})

	It("gets files and gives them, and none that is closed", func() {
		c := worker(Spec{Spec: plays("serve"), Files: true}, 2)
		r, w, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		defer r.Close()
		for range 3 {
			f, err := c.Call(background, c.param(background, request{File: w}))
			Expect(err).NotTo(HaveOccurred())
			var got request
			Expect(f.Decode(&got)).To(Succeed())
			Expect(got.File.WriteString("x")).To(Equal(1))
			Expect(got.File.Close()).To(Succeed())
		}
		p := c.param(background, request{File: w})
		Expect(w.Close()).To(Succeed())
		_, err = c.Call(background, p)
		Expect(err).To(BeAssignableToTypeOf(&UnsentError{}))
		Expect(err).To(MatchError(os.ErrClosed))
		Expect(err).To(MatchError(ContainSubstring("cannot send file")))
		c.idle()
		Expect(io.ReadAll(r)).To(HaveLen(3))
	})

	It("drops the files of a result that came too late", func() {
		c := worker(obedient(), 1)
		ctx, cancel := context.WithCancelCause(background)
		r, w, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		defer r.Close()
		c.spec.Files = true
		p := c.param(ctx, request{File: w})
		call := newCall()
		Expect(c.writing).NotTo(Receive())
		c.writing <- struct{}{}
		Expect(c.send(background, call, p)).To(Succeed())
		Expect(w.Close()).To(Succeed())
		cancel(errEnough)
		c.cancel(ctx, call) // nobody has read the answer yet
		c.idle()
		Expect(io.ReadAll(r)).To(BeEmpty())
	})

})

// A writer does what a spec wants.
type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// alone has a child of its own serve a call.
func alone(ctx context.Context, spec Spec, value any) (c *Conversation, call *Call) {
	GinkgoHelper()
	p, err := spec.NewParam(ctx, specs.Pointer(value))
	Expect(err).NotTo(HaveOccurred())
	c, call, err = Alone(ctx, spec, p)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { c.Kill(nil, errEnough) })
	return c, call
}

var _ = Describe("a child for a single call", func() {

	It("answers and ends", func() {
		c, call := alone(background, Spec{Spec: plays("serve")}, request{Text: strings.Repeat("x", 2<<20)})
		f, err := c.Next(call)
		Expect(err).NotTo(HaveOccurred())
		Expect(len(f.Value)).To(BeNumerically(">", 2<<20))
		_, err = c.Next(call)
		Expect(err).To(Equal(errSilent))
		Expect(c.Finish().Status).NotTo(HaveOccurred())
	})

	It("gets files", func() {
		r, w, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		defer r.Close()
		spec := Spec{Spec: plays("serve"), Files: true}
		c, call := alone(background, spec, request{File: w})
		f, err := c.Next(call)
		Expect(err).NotTo(HaveOccurred())
		f.CloseFiles()
		p, err := spec.NewParam(background, &request{File: w})
		Expect(err).NotTo(HaveOccurred())
		Expect(w.Close()).To(Succeed())
		Expect(c.Finish().Status).NotTo(HaveOccurred())
		Expect(io.ReadAll(r)).To(BeEmpty())
		_, _, err = Alone(background, spec, p)
		Expect(err).To(MatchError(os.ErrClosed))
		p.encoded.Files[0] = r
		spec.Tune = func(cmd *exec.Cmd) { cmd.Path = "/nowhere" }
		_, _, err = Alone(background, spec, p)
		Expect(err).To(MatchError(syscall.ENOENT))
	})

	It("sends events until no more are wanted", func() {
		c, call := alone(background, obedient(), request{Do: "count"})
		for i := range 100 {
			f, err := c.Next(call)
			Expect(err).NotTo(HaveOccurred())
			var got int
			Expect(f.Decode(&got)).To(Succeed())
			Expect(got).To(Equal(i))
		}
		c.Cancel(call)
		for {
			f, err := c.Next(call)
			Expect(err).NotTo(HaveOccurred())
			if f.Kind == frame.Result {
				break
			}
		}
		Expect(c.Finish().Killed).NotTo(HaveOccurred())
	})

	It("is told of the end of its context, and then has the grace period", func() {
		ctx, cancel := context.WithCancelCause(background)
		c, call := alone(ctx, obedient(), request{Do: "wait"})
		cancel(errEnough)
		f, err := c.Next(call)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(f.Value)).To(ContainSubstring("enough"))
		end := c.Finish()
		Expect(end.Cancelled).To(Equal(errEnough))
		Expect(end.Killed).NotTo(HaveOccurred())

		spec := obedient()
		spec.Grace = short
		ctx, cancel = context.WithCancelCause(background)
		c, call = alone(ctx, spec, request{Do: "sleep"})
		cancel(errEnough)
		_, err = c.Next(call)
		Expect(err).To(Equal(errSilent))
		Expect(c.Finish().Killed).To(Equal(errEnough))
	})

	It("that knows no context is killed", func() {
		ctx, cancel := context.WithCancelCause(background)
		c, call := alone(ctx, Spec{Spec: plays("serve")}, request{Do: "sleep"})
		cancel(errEnough)
		_, err := c.Next(call)
		Expect(err).To(Equal(errSilent))
		Expect(c.Finish().Killed).To(Equal(errEnough))
	})

	It("may be killed while its answer is decoded", func() {
		c, call := alone(background, obedient(), request{Do: "count"})
		_, err := c.Next(call)
		Expect(err).NotTo(HaveOccurred())
		Expect(c.Kill(nil, errEnough).Killed).To(Equal(errEnough))
	})

})

var _ = DescribeTable("a child that says what it likes", func(expected string, script ...string) {
	spec := Spec{Spec: plays("hostile", script...)}
	spec.Grace = short
	c, call := alone(background, spec, 1)
	var got []string
	for {
		f, err := c.Next(call)
		if err != nil {
			break
		}
		var decoded error
		if f.Files > 0 && !strings.Contains(script[len(script)-1], "none") {
			decoded = f.Decode(new([]*os.File))
		} else {
			decoded = f.Decode(new(string))
		}
		got = append(got, string(rune(f.Kind)))
		if decoded != nil {
			got = append(got, decoded.Error())
		}
		if f.Kind != frame.Event {
			break
		}
	}
	end := c.Finish()
	if end.Fault != nil {
		got = append(got, end.Fault.Error())
	}
	Expect(strings.Join(got, ", ")).To(Equal(expected))
},
	Entry("nothing", ""),
	Entry("a result", "A", "frame 1 0 A 1"),
	Entry("two results", "A, frame of kind 'A' belongs to no call", "frame 1 0 A 1", "frame 1 0 A 2"),
	Entry("a result of another call", "frame of kind 'A' belongs to no call", "frame 2 0 A 1", "frame 1 0 A 2"),
	Entry("an event after the result", "A, frame of kind 'V' belongs to no call", "frame 1 0 A 1", "frame 1 0 V 2"),
	Entry("what it should not", "frame of unknown kind '?'", "frame 1 0 ? 1", "frame 1 0 A 1"),
	Entry("what its parent should say", "frame of unknown kind 'P'", "frame 1 0 P 1"),
	Entry("that it is ready, of which nobody has asked", "frame of unknown kind 'R'", "frame 1 0 R 1"),
	Entry("that it does not serve", "", "frame 0 0 S 1", "frame 0 0 S 2"),
	Entry("that it panics, and then more", "X, frame of kind 'A' belongs to no call", "frame 1 0 X 1", "frame 1 0 A 1"),
	Entry("that files come, which do not", "A, open files could not be received: child has not sent them", "frame 1 1 A {}"),
	Entry("that files come, but less", "A, open files could not be received: child has not sent them", "files 1 1", "frame 1 2 A {}"),
	Entry("that files come, but more", "A, open files that do not belong to the frame", "files 1 3", "frame 1 2 A {}"),
	Entry("that files come, for which there is no place", "A, open files that do not belong to the value", "files 1 1", "frame 1 1 A none"),
	Entry("that files come, but those of another call", "A, open files could not be received: child has not sent them", "files 2 1", "frame 1 1 A {}"),
	Entry("that files come, but a cancellation", "A, open files could not be received: child has not sent them", "cancel 1", "frame 1 1 A {}"),
	Entry("that files come for another call", "frame of kind 'A' belongs to no call", "files 2 1", "frame 2 1 A {}"),
	Entry("that files come with what it should not say", "frame of unknown kind '?'", "files 1 1", "frame 1 1 ? {}"),
	Entry("that files come with a refusal", "", "files 0 1", "frame 0 1 S {}", "frame 0 0 S {}"),
	Entry("that files come with a panic", "X, open files that do not belong to the value", "files 1 1", "frame 1 1 X {}"),
	Entry("nothing of files that nobody asked for", "A", "files 1 5", "files 2 5", "frame 1 0 A 1"),
	Entry("events, and then a result", "V, V, A", "frame 1 0 V 1", "frame 1 0 V 2", "frame 1 0 A 1"),
	Entry("a result, and lingers", "A", "frame 1 0 A 1", "linger"),
	Entry("nonsense, and lingers", "frame of unknown kind '?'", "frame 1 0 ? 1", "linger"),
)

var _ = DescribeTable("a worker that says what it likes", func(expected string, script ...string) {
	spec := Spec{Spec: plays("hostile", append([]string{"frame 0 0 R null"}, script...)...)}
	spec.Grace = short
	c := worker(spec, 1)
	f, err := c.Call(background, c.param(background, 1))
	f.CloseFiles()
	got := string(rune(f.Kind))
	if err != nil {
		got = err.Error()
	}
	end := c.Finish()
	if end.Fault != nil {
		got += ", " + end.Fault.Error()
	}
	Expect(got).To(Equal(expected))
},
	Entry("a result", "A", "read", "frame 1 0 A 1"),
	Entry("a result of another call", "child has ended, frame of kind 'A' belongs to no call", "read", "frame 2 0 A 1"),
	Entry("an event", "child has ended, frame of unknown kind 'V'", "read", "frame 1 0 V 1", "frame 1 0 A 1"),
	Entry("that it has withdrawn it", "child has ended, frame of unknown kind 'W'", "read", "frame 1 0 W null"),
	Entry("that it is ready, again", "child has ended, frame of kind 'R' belongs to no call", "read", "frame 0 0 R 1"),
	Entry("that it does not serve", "child has ended", "read", "frame 0 0 S 1"),
)

var _ = Describe("a child that says nothing more, and reads nothing", func() {

	It("is killed, however large a parameter is being written", func() {
		spec := Spec{Spec: plays("hostile", "frame 0 0 R null", "close", "linger")}
		spec.Grace = short
		c := worker(spec, 1)
		_, err := c.Call(background, c.param(background, strings.Repeat("x", 8<<20)))
		var end *End
		Expect(errors.As(err, &end)).To(BeTrue())
		Expect(end.Killed).To(Equal(process.ErrLingers))
	})

})

var _ = Describe("a child that says too much", func() {

	It("takes no memory when nobody listens any more", func() {
		spec := Spec{Spec: plays("hostile", "flood 1")}
		spec.Grace = short
		c, call := alone(background, spec, 1)
		_, err := c.Next(call)
		Expect(err).NotTo(HaveOccurred())
		Expect(c.Finish().Killed).To(Equal(process.ErrLingers))
		Expect(len(call.answers)).To(BeNumerically("<", 10))
	})

	It("is not listened to at all before it is ready", func() {
		spec := Spec{Spec: plays("hostile", "flood 1")}
		spec.Grace, spec.Open, spec.Ready, spec.Concurrency = short, true, true, 1
		_, err := Start(background, spec)
		var end *End
		Expect(errors.As(err, &end)).To(BeTrue())
		Expect(end.Fault).To(MatchError("frame of kind 'V' belongs to no call"))
		Expect(end.Closed).To(BeFalse())
	})

	It("may say it in pieces that make no frame", func() {
		for _, said := range []string{"", "A", strings.Repeat("\xff", 30)} {
			file := filepath.Join(GinkgoT().TempDir(), "said")
			Expect(os.WriteFile(file, []byte(said), 0o600)).To(Succeed())
			spec := Spec{Spec: process.Spec{Grace: short, Tune: func(cmd *exec.Cmd) {
				cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", "exec cat " + file + " >&3"}
			}}}
			param, err := spec.NewParam(background, nil)
			Expect(err).NotTo(HaveOccurred())
			c, call, err := Alone(background, spec, param)
			Expect(err).NotTo(HaveOccurred())
			_, err = c.Next(call)
			Expect(err).To(Equal(errSilent))
			end := c.Finish()
			Expect(end.Status).NotTo(HaveOccurred())
			Expect(end.Fault).NotTo(HaveOccurred())
		}
	})

})
