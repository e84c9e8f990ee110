package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/orders"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

type call = func(ctx context.Context, decode func(any) error, emit func(any) bool) (any, error)

// echo answers with its parameter, once release is closed, if there is one.
func echo[T any](release <-chan struct{}) call {
	return func(ctx context.Context, decode func(any) error, _ func(any) bool) (any, error) {
		var value T
		if err := decode(&value); err != nil {
			return nil, err
		}
		if release != nil {
			<-release
		}
		return value, nil
	}
}

// obedient returns when its context ends: its error, cause and deadline.
func obedient(ctx context.Context, decode func(any) error, _ func(any) bool) (any, error) {
	deadline, _ := ctx.Deadline()
	<-ctx.Done()
	return []string{ctx.Err().Error(), context.Cause(ctx).Error(), fmt.Sprint(deadline.UnixNano())}, nil
}

// A caller is the other side of a server.
type caller struct {
	server  *server
	params  *os.File
	answers *os.File
	socket  *os.File
	frames  *frame.Reader
	ended   chan struct{} // the loop has
}

// sockets returns both ends of a connection.
func sockets() (ours, theirs *os.File) {
	GinkgoHelper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	Expect(err).NotTo(HaveOccurred())
	return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
}

// byValue is a call whose results and events are no pointers.
func byValue(f call) call {
	return func(ctx context.Context, decode func(any) error, emit func(any) bool) (any, error) {
		result, err := f(ctx, decode, func(event any) bool { return emit(specs.Pointer(event)) })
		return specs.Pointer(result), err
	}
}

// serve has a function be served in this process, until the end of the spec.
func serve(function Function, concurrency int) *caller {
	GinkgoHelper()
	c := &caller{ended: make(chan struct{})}
	function.Call = byValue(function.Call)
	paramsReader, params, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	answers, answersWriter, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	ours, theirs := sockets()
	c.params, c.answers, c.socket = params, answers, ours
	c.frames = frame.NewReader(answers)
	c.server = &server{
		function: function,
		answers:  answersWriter,
		params:   frame.NewReader(paramsReader),
		slots:    make(chan struct{}, concurrency),
		// At the end of the grace period this process would exit.
		control: newControl(orders.Orders{Grace: time.Hour}, function.Context),
	}
	c.server.params.Large = c.server.gc.pauseFor
	c.server.control.socket = theirs
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		c.server.control.listen()
	}()
	go func() {
		defer close(c.ended)
		c.server.loop()
	}()
	DeferCleanup(func() {
		_ = params.Close()
		_ = ours.Close()
		Eventually(c.ended).Should(BeClosed())
		Eventually(listening).Should(BeClosed())
		_ = errors.Join(paramsReader.Close(), answers.Close(), answersWriter.Close(), theirs.Close())
	})
	return c
}

// call sends a parameter, after its files.
func (c *caller) call(h frame.Header, value any, files ...*os.File) {
	GinkgoHelper()
	h.Kind = frame.Param
	encoded, err := frame.Encode(h, specs.Pointer(value))
	Expect(err).NotTo(HaveOccurred())
	c.sendFiles(h.Call, files...)
	encoded.Bytes()[29] = byte(len(files)) // whether there is a place for them or not
	_, err = c.params.Write(encoded.Bytes())
	Expect(err).NotTo(HaveOccurred())
}

func (c *caller) sendFiles(call uint64, files ...*os.File) {
	GinkgoHelper()
	descriptors, err := frame.Duplicate(files)
	Expect(err).NotTo(HaveOccurred())
	Expect(frame.SendFiles(c.socket, call, descriptors, false)).To(Succeed())
}

// cancel tells of the end of a context, for a reason.
func (c *caller) cancel(call uint64, why string) {
	GinkgoHelper()
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New(why))
	Expect(frame.Send(c.socket, frame.Cancellation(call, ctx), false)).To(Succeed())
}

func (c *caller) withdraw(call uint64) {
	GinkgoHelper()
	Expect(frame.Send(c.socket, frame.Withdrawal(call), false)).To(Succeed())
}

// serves waits until so many calls with contexts have begun.
func (c *caller) serves(n int) {
	GinkgoHelper()
	Eventually(func() int {
		c.server.control.mu.Lock()
		defer c.server.control.mu.Unlock()
		return len(c.server.control.running)
	}).Should(Equal(n))
}

// next returns the next answer, which is of a kind.
func (c *caller) next(kind frame.Kind) frame.Frame {
	GinkgoHelper()
	Expect(c.answers.SetReadDeadline(time.Now().Add(30 * time.Second))).To(Succeed())
	f, err := c.frames.Next()
	Expect(err).NotTo(HaveOccurred())
	Expect(string(rune(f.Kind))).To(Equal(string(rune(kind))), "%s", f.Value)
	return f
}

// says returns the value of the next answer.
func says[T any](c *caller, kind frame.Kind) (value T) {
	GinkgoHelper()
	f := c.next(kind)
	Expect(f.Decode(&value)).To(Succeed())
	return value
}

// pipes returns both ends of a pipe, closed at the end of the spec.
func pipes() (r, w *os.File) {
	GinkgoHelper()
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// closed expects a pipe to be closed by everybody else.
func closed(r, w *os.File) {
	GinkgoHelper()
	_ = w.Close()
	Expect(r.SetReadDeadline(time.Now().Add(30 * time.Second))).To(Succeed())
	_, err := r.Read(make([]byte, 1))
	Expect(err).To(Equal(io.EOF))
}

var _ = Describe("a server", func() {

	It("answers calls in their order", func() {
		c := serve(Function{Call: echo[string](nil)}, 1)
		for number := range uint64(5) {
			c.call(frame.Header{Call: number}, fmt.Sprint("value ", number))
		}
		for number := range uint64(5) {
			f := c.next(frame.Result)
			Expect(f.Call).To(Equal(number))
			var value string
			Expect(f.Decode(&value)).To(Succeed())
			Expect(value).To(Equal(fmt.Sprint("value ", number)))
		}
		Expect(c.params.Close()).To(Succeed())
		Eventually(c.ended).Should(BeClosed())
	})

	It("answers several calls at a time, and all before it ends", func() {
		var mu sync.Mutex
		now, most := 0, 0
		release := make(chan struct{})
		c := serve(Function{Call: func(context.Context, func(any) error, func(any) bool) (any, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-release
			mu.Lock()
			now--
			mu.Unlock()
			return nil, nil
		}}, 3)
		for number := range uint64(10) {
			c.call(frame.Header{Call: number}, nil)
		}
		Expect(c.params.Close()).To(Succeed())
		Eventually(func() int { mu.Lock(); defer mu.Unlock(); return now }).Should(Equal(3))
		Consistently(c.ended, "10ms").ShouldNot(BeClosed())
		close(release)
		seen := map[uint64]bool{}
		for range 10 {
			seen[c.next(frame.Result).Call] = true
		}
		Expect(seen).To(HaveLen(10))
		Eventually(c.ended).Should(BeClosed())
		Expect(most).To(Equal(3))
	})

	DescribeTable("says why there is no result", func(call call, kind frame.Kind, failure frame.Failure) {
		c := serve(Function{Call: call, Files: true}, 1)
		c.call(frame.Header{Call: 1}, "text")
		Expect(says[frame.Failure](c, kind)).To(Equal(failure))
		c.call(frame.Header{Call: 2}, "text")
		Expect(says[frame.Failure](c, kind)).To(Equal(failure), "and goes on")
	},
		Entry("an error", func(context.Context, func(any) error, func(any) bool) (any, error) {
			return 1, fmt.Errorf("no: %w", syscall.ENOENT)
		}, frame.Failed, frame.Failure{Message: "no: no such file or directory", Errnos: []syscall.Errno{syscall.ENOENT}}),
		Entry("a parameter of another type", echo[int](nil), frame.Bad,
			frame.Failure{Message: "cannot decode parameter in child, reason: bytes that are not those of a value of this type"}),
		Entry("a result that cannot be encoded", func(context.Context, func(any) error, func(any) bool) (any, error) {
			return func() {}, nil
		}, frame.Bad, frame.Failure{Message: "cannot encode result in child, reason: func() cannot travel"}),
		Entry("an event that cannot be encoded", func(_ context.Context, _ func(any) error, emit func(any) bool) (any, error) {
			if emit(func() {}) || emit(1) {
				return nil, errors.New("more were wanted")
			}
			return nil, nil
		}, frame.Bad, frame.Failure{Message: "cannot encode event in child, reason: func() cannot travel"}),
		Entry("a file that is closed", func(context.Context, func(any) error, func(any) bool) (any, error) {
			f, _ := os.Open(os.DevNull)
			_ = f.Close()
			return f, nil
		}, frame.Bad, frame.Failure{Message: "cannot send result in child, reason: cannot send file /dev/null: file already closed", Is: []int{6}}),
	)

	It("sends events, until they are not wanted any more", func() {
		c := serve(Function{Context: true, Call: func(ctx context.Context, _ func(any) error, emit func(any) bool) (any, error) {
			for i := 0; emit(i); i++ {
				time.Sleep(100 * time.Microsecond)
			}
			return nil, context.Cause(ctx)
		}}, 1)
		c.call(frame.Header{Call: 7}, nil)
		for i := range 5 {
			Expect(says[int](c, frame.Event)).To(Equal(i))
		}
		c.cancel(7, "enough")
		for {
			f, err := c.frames.Next()
			Expect(err).NotTo(HaveOccurred())
			if f.Kind != frame.Event {
				Expect(string(f.Value)).To(ContainSubstring("enough"))
				return
			}
		}
	})

	It("tells a call of the end of its context", func() {
		c := serve(Function{Context: true, Call: obedient}, 2)
		c.call(frame.Header{Call: 1, Deadline: 1 << 60}, nil)
		c.call(frame.Header{Call: 2}, nil)
		c.cancel(3, "too soon") // not queued: it has begun for its parent
		c.cancel(1, "enough")
		Expect(says[[]string](c, frame.Result)).To(Equal([]string{"context canceled", "enough", fmt.Sprint(int64(1 << 60))}))
		c.cancel(1, "too late")
		c.call(frame.Header{Call: 3}, nil)
		Expect(says[[]string](c, frame.Result)[1]).To(Equal("too soon"))
		c.cancel(2, "more than enough")
		Expect(says[[]string](c, frame.Result)[1]).To(Equal("more than enough"))
		c.server.control.mu.Lock()
		defer c.server.control.mu.Unlock()
		Expect(c.server.control.told).To(BeEmpty())
		Expect(c.server.control.running).To(BeEmpty())
	})

	It("tells all calls of the end of the parent, and begins no more", func() {
		c := serve(Function{Context: true, Call: obedient}, 3)
		c.call(frame.Header{Call: 1}, nil)
		c.call(frame.Header{Call: 2}, nil)
		c.serves(2)
		Expect(c.socket.Close()).To(Succeed())
		for range 2 {
			Expect(says[[]string](c, frame.Result)[:2]).To(Equal([]string{"context canceled", errOrphan.Error()}))
		}
		c.call(frame.Header{Call: 3}, nil)
		Expect(c.next(frame.Withdrawn).Call).To(Equal(uint64(3)))
	})

	It("lets calls end, though nobody takes their answers any more", func() {
		cleanedUp := make(chan error, 2)
		c := serve(Function{Context: true, Call: func(ctx context.Context, decode func(any) error, emit func(any) bool) (any, error) {
			for emit("event") {
			}
			cleanedUp <- context.Cause(ctx)
			return nil, nil
		}}, 2)
		c.call(frame.Header{Call: 1}, nil)
		c.call(frame.Header{Call: 2}, nil)
		c.serves(2)
		Expect(c.answers.Close()).To(Succeed())
		for range 2 {
			Eventually(cleanedUp).Should(Receive(Equal(errOrphan)))
		}
	})

	It("does not begin a call that was withdrawn while others came first", func() {
		release := make(chan struct{})
		c := serve(Function{Call: echo[[]*os.File](release), Files: true}, 1)
		r, w := pipes()
		c.call(frame.Header{Call: 1}, []*os.File{})
		c.call(frame.Header{Call: 2, Queued: true}, []*os.File{w}, w)
		c.call(frame.Header{Call: 3, Queued: true}, []*os.File{})
		c.withdraw(2)
		close(release)
		Expect(c.next(frame.Result).Call).To(Equal(uint64(1)))
		Expect(c.next(frame.Withdrawn).Call).To(Equal(uint64(2)))
		Expect(c.next(frame.Result).Call).To(Equal(uint64(3)))
		closed(r, w)
	})

	It("collects garbage again after a large parameter that was withdrawn", func() {
		release := make(chan struct{})
		c := serve(Function{Call: echo[string](release)}, 1)
		c.call(frame.Header{Call: 1}, "first")
		c.withdraw(2)
		sent := make(chan struct{})
		go func() {
			defer GinkgoRecover()
			defer close(sent)
			c.call(frame.Header{Call: 2, Queued: true}, strings.Repeat("x", 2*largeParam))
		}()
		close(release)
		c.next(frame.Result)
		c.next(frame.Withdrawn)
		<-sent
		c.call(frame.Header{Call: 3}, "last")
		c.next(frame.Result)
		c.server.gc.mu.Lock()
		defer c.server.gc.mu.Unlock()
		Expect(c.server.gc.pauses).To(BeZero())
	})

	It("lets a call go on that is withdrawn too late", func() {
		c := serve(Function{Context: true, Call: obedient}, 1)
		c.call(frame.Header{Call: 1, Queued: true}, nil)
		c.serves(1)
		c.withdraw(1)
		c.cancel(1, "enough")
		Expect(says[[]string](c, frame.Result)[1]).To(Equal("enough"))
	})

	It("gets files, and closes those that it has sent", func() {
		c := serve(Function{Call: echo[map[string]*os.File](nil), Files: true}, 1)
		r, w := pipes()
		c.call(frame.Header{Call: 1}, map[string]*os.File{"w": w, "nil": nil}, w)
		f := c.next(frame.Result)
		m, err := frame.Receive(c.socket)
		Expect(err).NotTo(HaveOccurred())
		Expect(m.Call).To(Equal(uint64(1)))
		f.Receive(m.Files, m.Lost)
		var got map[string]*os.File
		Expect(f.Decode(&got)).To(Succeed())
		Expect(got["nil"]).To(BeNil())
		Expect(got["w"].Name()).To(Equal(w.Name()))
		Expect(got["w"].Close()).To(Succeed())
		closed(r, w)
	})

	DescribeTable("keeps no file that nobody gets", func(value any, call call) {
		c := serve(Function{Call: call, Files: true}, 1)
		r, w := pipes()
		if value == nil {
			value = []*os.File{w}
		}
		c.call(frame.Header{Call: 1}, value, w)
		f, err := c.frames.Next()
		Expect(err).NotTo(HaveOccurred())
		Expect(f.Kind).To(BeElementOf(frame.Bad, frame.Failed))
		closed(r, w)
	},
		Entry("since it is not decoded", "text", echo[int](nil)),
		Entry("since the value has no place for it", "text", echo[string](nil)),
		Entry("since it comes with an error", nil, func(_ context.Context, decode func(any) error, _ func(any) bool) (any, error) {
			var files []*os.File
			return files, errors.Join(decode(&files), errors.New("sorry"))
		}),
		Entry("since it is an event after one that could not be sent", nil, func(_ context.Context, decode func(any) error, emit func(any) bool) (any, error) {
			var files []*os.File
			err := decode(&files)
			_, _ = emit(bad{}), emit(files)
			return nil, err
		}),
		Entry("since it comes with what cannot be encoded", nil, func(_ context.Context, decode func(any) error, _ func(any) bool) (any, error) {
			var files []*os.File
			err := decode(&files)
			return struct {
				F []*os.File
				G bad
			}{files, bad{}}, err
		}),
	)

	It("keeps no file of a call that never comes", func() {
		c := serve(Function{Call: echo[string](nil)}, 1)
		r, w := pipes()
		c.sendFiles(1, w) // the parent could not send them all
		c.sendFiles(2, w)
		kept := func() int {
			c.server.control.mu.Lock()
			defer c.server.control.mu.Unlock()
			return len(c.server.control.files)
		}
		Eventually(kept).Should(Equal(2))
		c.call(frame.Header{Call: 3}, "value")
		Expect(c.next(frame.Result).Call).To(Equal(uint64(3)))
		c.sendFiles(2, w)
		c.call(frame.Header{Call: 4, Queued: true}, "value") // looks for messages before it begins
		_ = c.next(frame.Result)
		Expect(kept()).To(BeZero())
		closed(r, w)
	})

	It("says that files are missing", func() {
		c := serve(Function{Call: echo[[]*os.File](nil), Files: true}, 1)
		f, err := os.Open(os.DevNull)
		Expect(err).NotTo(HaveOccurred())
		defer f.Close()
		encoded, err := frame.Encode(frame.Header{Kind: frame.Param, Call: 1}, &[]*os.File{f, f})
		Expect(err).NotTo(HaveOccurred())
		c.sendFiles(1, f)
		_, err = c.params.Write(encoded.Bytes())
		Expect(err).NotTo(HaveOccurred())
		Expect(says[frame.Failure](c, frame.Bad).Message).To(HavePrefix("cannot decode parameter in child"))
	})

	It("collects no garbage while it reads what is large, and then again", func() {
		c := serve(Function{Call: echo[struct {
			Text string
			File *os.File
		}](nil)}, 1)
		_, w := pipes()
		pauses := func() int {
			c.server.gc.mu.Lock()
			defer c.server.gc.mu.Unlock()
			return c.server.gc.pauses
		}
		Expect(pauses()).To(BeZero())
		for number := range uint64(3) {
			go c.call(frame.Header{Call: number + 1}, struct {
				Text string
				File *os.File
			}{strings.Repeat("x", 1<<20-5+int(number)), w}, w)
			_ = c.next(frame.Result)
			Expect(pauses()).To(BeZero())
		}
	})

})

type bad struct{ _ int }

func (bad) MarshalJSON() ([]byte, error)  { return nil, errors.New("bad") }
func (*bad) UnmarshalJSON(b []byte) error { return nil }

// A child serves functions as a whole.
func child(o orders.Orders, stdin string) (answers []frame.Frame, stdout string, err error) {
	GinkgoHelper()
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	ours, theirs := sockets()
	o.Answers, o.Control = 3, 4
	cmd := specs.Child("serve")
	cmd.Env = append(cmd.Env, o.Vars()...)
	cmd.ExtraFiles = []*os.File{w, theirs}
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout = &out
	Expect(cmd.Start()).To(Succeed())
	_, _ = w.Close(), theirs.Close()
	for frames := frame.NewReader(r); ; {
		f, err := frames.Next()
		if err != nil {
			break
		}
		answers = append(answers, f)
	}
	err = cmd.Wait()
	_, _ = r.Close(), ours.Close()
	return answers, out.String(), err
}

func init() {
	specs.Roles["serve"] = func([]string) {
		o := orders.Take()
		if o.Action == "none" {
			Refuse(orders.Orders{}, "is not heard")
			Refuse(o, "there is none")
		}
		Serve(o, Function{Name: o.Action, Call: byValue(func(_ context.Context, decode func(any) error, _ func(any) bool) (any, error) {
			var value string
			if err := decode(&value); err != nil {
				return nil, err
			}
			switch value {
			case "panic":
				panic("at the function")
			case "goexit":
				runtime.Goexit()
			case "stdin":
				fmt.Print("noise")
				b, err := io.ReadAll(os.Stdin)
				return string(b), err
			case "exit":
				os.Exit(5)
			case "program":
				cmd := exec.Command("/bin/sh", "-c", "cat; for n in 3 4; do test -e /proc/self/fd/$n && echo $n; done; echo no more")
				cmd.Stdin = os.Stdin
				b, err := cmd.Output()
				return string(b), err
			}
			return value, nil
		})})
	}
}

var _ = DescribeTable("a child that serves", func(o orders.Orders, params []string, kinds, last string, status string) {
	var stdin []byte
	for i, param := range params {
		stdin = append(stdin, frame.MustEncode(frame.Header{Kind: frame.Param, Call: uint64(i)}, &param).Bytes()...)
	}
	answers, stdout, err := child(o, string(stdin))
	var got string
	for _, f := range answers {
		got += string(rune(f.Kind))
	}
	Expect(got).To(Equal(kinds))
	if len(answers) > 0 {
		Expect(string(answers[len(answers)-1].Value)).To(ContainSubstring(last))
	}
	if status == "" {
		Expect(err).NotTo(HaveOccurred())
	} else {
		Expect(err).To(MatchError(status))
	}
	Expect(stdout).To(Or(BeEmpty(), MatchRegexp("^(noise)+$")))
},
	Entry("nothing", orders.Orders{Action: "a"}, nil, "", "", ""),
	Entry("nothing, but is ready", orders.Orders{Action: "a", Ready: true}, nil, "R", "", ""),
	Entry("calls", orders.Orders{Action: "a", Ready: true}, []string{"1", "2", "3"}, "RAAA", "3", ""),
	Entry("several at a time", orders.Orders{Action: "a", Concurrency: 3}, []string{"1", "1", "1", "1"}, "AAAA", "1", ""),
	Entry("what reads stdin and prints", orders.Orders{Action: "a"}, []string{"stdin", "stdin"}, "AA", "", ""),
	Entry("what starts a program, which sees nothing of that", orders.Orders{Action: "a"}, []string{"program", "program"}, "AA", "no more\n", ""),
	Entry("what panics", orders.Orders{Action: "a"}, []string{"1", "panic", "2"}, "AX", "at the function", "exit status 2"),
	Entry("what ends its goroutine", orders.Orders{Action: "a"}, []string{"goexit"}, "X", "runtime.Goexit was called", "exit status 2"),
	Entry("what ends it", orders.Orders{Action: "a"}, []string{"1", "exit"}, "A", "1", "exit status 5"),
	Entry("nothing, since it cannot", orders.Orders{Action: "none"}, []string{"1"}, "S", "there is none", "exit status 1"),
)

var _ = Describe("a child of another program than its parent's", func() {

	It("says so", func() {
		param := "1"
		answers, _, err := child(orders.Orders{Action: "a"}, string(frame.MustEncode(frame.Header{Kind: frame.Param, Types: 7}, &param).Bytes()))
		Expect(err).To(MatchError("exit status 1"))
		Expect(answers).To(HaveLen(1))
		Expect(answers[0].Kind).To(Equal(frame.Refusal))
		Expect(string(answers[0].Value)).To(ContainSubstring("its executable has been replaced"))
	})

})

var _ = Describe("a child that was not started to serve", func() {

	It("says so", func() {
		cmd := specs.Child("serve")
		cmd.Env = append(cmd.Env, orders.Orders{Action: "foo"}.Vars()...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		Expect(cmd.Run()).To(MatchError("exit status 1"))
		Expect(stderr.String()).To(ContainSubstring(`function "foo" must be called with Func.Call`))
	})

	It("ends when nobody listens", func() {
		r, w, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		cmd := specs.Child("serve")
		cmd.Env = append(cmd.Env, orders.Orders{Action: "foo", Answers: 3, Grace: time.Hour}.Vars()...)
		cmd.ExtraFiles = []*os.File{w}
		one := "1"
		cmd.Stdin = bytes.NewReader(frame.MustEncode(frame.Header{Kind: frame.Param}, &one).Bytes())
		Expect(r.Close()).To(Succeed())
		Expect(cmd.Run()).To(Succeed())
		Expect(w.Close()).To(Succeed())
	})

	It("ends the grace period after its parent", func() {
		stdin, stay, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		Expect(err).NotTo(HaveOccurred())
		ours, theirs := sockets()
		cmd := specs.Child("serve")
		cmd.Env = append(cmd.Env, orders.Orders{Action: "foo", Answers: 3, Control: 4, Grace: 50 * time.Millisecond}.Vars()...)
		cmd.ExtraFiles = []*os.File{null, theirs}
		cmd.Stdin = stdin
		Expect(cmd.Start()).To(Succeed())
		_ = errors.Join(theirs.Close(), stdin.Close(), null.Close(), ours.Close())
		Expect(cmd.Wait()).To(MatchError("exit status 1"))
		Expect(stay.Close()).To(Succeed())
	})

})
