package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/sys"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

type function = func(ctx context.Context, decode func(any) error, emit func(any) bool) (any, error)

// echo answers with its parameter.
func echo[T any](_ context.Context, decode func(any) error, _ func(any) bool) (any, error) {
	var value T
	err := decode(&value)
	return &value, err
}

// answers always answers the same.
func answers(value any, err error) function {
	return func(context.Context, func(any) error, func(any) bool) (any, error) { return value, err }
}

// obeys returns when its context ends: its error, cause and deadline.
func obeys(ctx context.Context, _ func(any) error, _ func(any) bool) (any, error) {
	deadline, _ := ctx.Deadline()
	<-ctx.Done()
	return &[]string{ctx.Err().Error(), context.Cause(ctx).Error(), fmt.Sprint(deadline.UnixNano())}, nil
}

// A caller is the other side of a server.
type caller struct {
	server                  *server
	params, answers, socket *os.File
	in                      incoming
	ended                   chan struct{} // the server has
}

// serve has a function be served in this process, until the end of the spec.
func serve(function Function, many int) *caller {
	GinkgoHelper()
	c := &caller{ended: make(chan struct{})}
	stdin, params := pipes()
	answers, theirs := pipes()
	_, stderr := pipes()
	ours, socket := sockets()
	c.params, c.answers, c.socket, c.in = params, answers, ours, newIncoming(answers)
	c.server = &server{function: function, in: newIncoming(stdin), answers: theirs, many: many}
	c.server.signals = &signals{s: c.server, grace: time.Hour}
	o := child.Orders{Grace: time.Hour} // at its end this process would exit
	for file, fd := range map[*os.File]*int{socket: &o.Control, stderr: &o.Stderr} {
		*fd = specs.OK(sys.Descriptor(file))
	}
	_ = socket.Close()
	c.server.control = newControl(c.server, o)
	go func() {
		defer close(c.ended)
		c.server.all.Go(c.server.next)
		c.server.all.Wait()
	}()
	DeferCleanup(func() {
		_ = errors.Join(params.Close(), ours.Close())
		g.Eventually(c.ended).Should(g.BeClosed())
		g.Eventually(func() bool { return look(c, func(c *control) bool { return c.orphan }) }).Should(g.BeTrue())
		_ = c.server.control.socket.Close()
	})
	return c
}

// call sends a parameter, after its files; some of them may not be in the value.
func (c *caller) call(h header, value any, files ...*os.File) {
	GinkgoHelper()
	h.Kind = called
	o := specs.OK(encode(h, specs.Pointer(value)))
	c.sendFiles(h.call, files...)
	_ = specs.OK(c.params.Write(mustEncode(h, value, len(files)-len(o.files))))
}

func (c *caller) sendFiles(call uint64, files ...*os.File) {
	GinkgoHelper()
	descriptors := specs.OK(duplicates(files))
	g.Expect(sendFiles(c.socket, call, descriptors, false)).To(g.Succeed())
}

// cancel tells of the end of a context, for a reason.
func (c *caller) cancel(call uint64, why string) {
	tell(c.socket, header{Kind: cancel, call: call}, &why)
}

// look looks at what is the control's.
func look[T any](c *caller, f func(c *control) T) T {
	c.server.control.mu.Lock()
	defer c.server.control.mu.Unlock()
	return f(c.server.control)
}

// serves waits until so many calls with contexts have begun.
func (c *caller) serves(n int) {
	GinkgoHelper()
	g.Eventually(func() int { return look(c, func(c *control) int { return len(c.running) }) }).Should(g.Equal(n))
}

// answer returns the next answer.
func (c *caller) answer() Frame {
	GinkgoHelper()
	g.Expect(c.answers.SetReadDeadline(time.Now().Add(30 * time.Second))).To(g.Succeed())
	return specs.OK(c.in.read())
}

// next returns the next answer, which is of a kind.
func (c *caller) next(kind Kind) Frame {
	GinkgoHelper()
	f := c.answer()
	g.Expect(string(rune(f.Kind))).To(g.Equal(string(rune(kind))), "%s", f.value)
	return f
}

// says returns the value of the next answer.
func says[T any](c *caller, kind Kind) (value T) {
	GinkgoHelper()
	f := c.next(kind)
	g.Expect(f.Decode(&value)).To(g.Succeed())
	return value
}

// pipes returns both ends of a pipe, closed at the end of the spec.
func pipes() (r, w *os.File) {
	GinkgoHelper()
	r, w = specs.OK2(os.Pipe())
	DeferCleanup(func() { sys.CloseAll(r, w) })
	return r, w
}

// closed expects a pipe to be closed by all others.
func closed(r, w *os.File) {
	GinkgoHelper()
	_ = w.Close()
	g.Expect(r.SetReadDeadline(time.Now().Add(30 * time.Second))).To(g.Succeed())
	g.Expect(io.ReadAll(r)).To(g.BeEmpty())
}

var _ = Describe("a server", func() {
	DescribeTable("answers calls, and all before it ends", func(many, calls, atATime, answered int) {
		var begun atomic.Int32
		release := make(chan struct{})
		c := serve(Function{Hash: 77, Call: func(context.Context, func(any) error, func(any) bool) (any, error) {
			begun.Add(1)
			<-release
			return nil, nil
		}}, many)
		for number := range calls {
			c.call(header{call: uint64(number + 1)}, nil)
		}
		g.Expect(c.params.Close()).To(g.Succeed())
		g.Eventually(begun.Load).Should(g.BeEquivalentTo(atATime))
		g.Consistently(c.ended, "10ms").ShouldNot(g.BeClosed())
		g.Expect(begun.Load()).To(g.BeEquivalentTo(atATime))
		close(release)
		seen := map[uint64]bool{}
		for n := range uint64(answered) {
			f := c.next(Result)
			seen[f.call] = true
			g.Expect(f.extra).To(g.Equal(int64(77)))
			if many <= 1 {
				g.Expect(f.call).To(g.Equal(n+1), "in their order")
			}
		}
		g.Expect(seen).To(g.HaveLen(answered))
		g.Eventually(c.ended).Should(g.BeClosed())
		g.Expect(begun.Load()).To(g.BeEquivalentTo(answered))
	},
		Entry("one", 0, 3, 1, 1),
		Entry("one at a time", 1, 3, 1, 3),
		Entry("several at a time", 3, 3, 3, 3),
	)

	DescribeTable("says why there is no result", func(call function, kind Kind, failure Failure) {
		c := serve(Function{Call: call}, 1)
		for number := range uint64(2) { // it goes on
			c.call(header{call: number + 1}, "text")
			got := says[Failure](c, kind)
			got.Known = nil
			g.Expect(got).To(g.Equal(failure))
		}
	},
		Entry("an error", answers(new(int), fmt.Errorf("no: %w", syscall.ENOENT)), Failed, Failure{Message: "no: no such file or directory", Errnos: []syscall.Errno{syscall.ENOENT}}),
		Entry("a parameter of another type", echo[int], Unread, Failure{Message: "cannot decode parameter in child, reason: bytes or open files that are not those of a value of this type"}),
		Entry("a result that cannot be encoded", answers(new(func()), nil), Unserved, Failure{Message: "cannot encode result in child, reason: func() cannot travel"}),
		Entry("an event that cannot be encoded", func(_ context.Context, _ func(any) error, emit func(any) bool) (any, error) {
			if emit(new(func())) || emit(new(int)) {
				return nil, errors.New("more were wanted")
			}
			return nil, nil
		}, Unserved, Failure{Message: "cannot encode event in child, reason: func() cannot travel"}),
	)

	It("tells a call of the end of its context", func() {
		c := serve(Function{Context: true, Call: obeys}, 2)
		c.call(header{call: 1, extra: math.MaxInt64}, nil)
		c.call(header{call: 2}, nil)
		c.cancel(3, "too soon") // its parent does not know what has been read
		c.cancel(1, "enough")
		g.Expect(says[[]string](c, Result)).To(g.Equal([]string{"context canceled", "enough", fmt.Sprint(int64(math.MaxInt64))}))
		c.cancel(1, "too late")
		c.call(header{call: 3}, nil)
		g.Expect(says[[]string](c, Result)[1]).To(g.Equal("too soon"))
		tell(c.socket, header{Kind: cancel, call: 2}, &[]int{1, 2, 3}) // which makes no sense
		tell(c.socket, header{Kind: '?', call: 2}, nil)
		c.cancel(2, "more than enough")
		g.Expect(says[[]string](c, Result)[1]).To(g.Equal("more than enough"))
		g.Expect(look(c, func(c *control) int { return len(c.early) + len(c.running) })).To(g.BeZero())
	})

	It("ends a context at its deadline, or if its clock is late, a moment after its parent has", func() {
		c := serve(Function{Context: true, Call: obeys}, 1)
		c.call(header{call: 1, extra: time.Now().Add(20 * time.Millisecond).UnixNano()}, nil)
		g.Expect(says[[]string](c, Result)[:2]).To(g.Equal([]string{"context deadline exceeded", "context deadline exceeded"}))
		c.call(header{call: 2, extra: time.Now().Add(time.Hour).UnixNano()}, nil)
		c.serves(1)
		why := "lunch"
		begin := time.Now()
		tell(c.socket, header{Kind: cancel, call: 2, extra: 1}, &why)
		g.Expect(says[[]string](c, Result)[:2]).To(g.Equal([]string{"context canceled", "lunch"}))
		g.Expect(time.Since(begin)).To(g.BeNumerically(">=", clocks))
	})

	It("says where all goroutines are", func() {
		c := serve(Function{Context: true, Call: obeys}, 1)
		c.call(header{call: 1}, nil)
		c.serves(1)
		tell(c.socket, header{Kind: dump, call: 9}, nil)
		g.Expect(string(says[[]byte](c, stack))).To(g.ContainSubstring("call.obeys"))
		c.cancel(1, "enough")
		c.next(Result)
	})

	It("tells all calls of the end of the parent, and begins no more", func() {
		c := serve(Function{Context: true, Call: obeys}, 3)
		c.call(header{call: 1}, nil)
		c.call(header{call: 2}, nil)
		c.serves(2)
		r, w := pipes()
		c.sendFiles(3, w)
		g.Expect(c.socket.Close()).To(g.Succeed())
		for range 2 {
			g.Expect(says[[]string](c, Result)[:2]).To(g.Equal([]string{"context canceled", errOrphan.Error()}))
		}
		_ = specs.OK(c.params.Write(mustEncode(header{Kind: called, call: 3}, []*os.File{w}, 0)))
		g.Expect(c.params.Close()).To(g.Succeed())
		g.Eventually(c.ended).Should(g.BeClosed())
		closed(r, w)
		g.Expect(c.answers.SetReadDeadline(time.Now())).To(g.Succeed())
		_, err := c.answers.Read(make([]byte, 1))
		g.Expect(err).To(g.MatchError(os.ErrDeadlineExceeded), "it was not answered")
	})

	It("lets calls end, though nothing takes their answers any more", func() {
		cleanedUp := make(chan error, 2)
		c := serve(Function{Context: true, Call: func(ctx context.Context, _ func(any) error, emit func(any) bool) (any, error) {
			for emit(new(string)) {
			}
			cleanedUp <- context.Cause(ctx)
			return nil, nil
		}}, 2)
		c.call(header{call: 1}, nil)
		c.call(header{call: 2}, nil)
		c.serves(2)
		g.Expect(c.answers.Close()).To(g.Succeed())
		for range 2 {
			g.Eventually(cleanedUp).Should(g.Receive(g.Equal(errOrphan)))
		}
	})

	DescribeTable("keeps no file that nothing gets", func(value any, call function) {
		c := serve(Function{Call: call}, 1)
		r, w := pipes()
		if value == nil {
			value = []*os.File{w}
		}
		c.call(header{call: 1}, value, w)
		g.Expect(c.answer().Kind).To(g.BeElementOf(Unread, Unserved, Failed))
		closed(r, w)
	},
		Entry("since it is not decoded", "text", echo[int]),
		Entry("since the value has no place for it", "text", echo[string]),
		Entry("since it comes with an error", nil, func(_ context.Context, decode func(any) error, _ func(any) bool) (any, error) {
			var files []*os.File
			return &files, errors.Join(decode(&files), errors.New("sorry"))
		}),
		Entry("since it is an event after one that could not be sent", nil, func(_ context.Context, decode func(any) error, emit func(any) bool) (any, error) {
			var files []*os.File
			err := decode(&files)
			_, _ = emit(&bad{}), emit(&files)
			return nil, err
		}),
		Entry("since it comes with what cannot be encoded", nil, func(_ context.Context, decode func(any) error, _ func(any) bool) (any, error) {
			var files []*os.File
			err := decode(&files)
			return &struct {
				F []*os.File
				G bad
			}{files, bad{}}, err
		}),
	)

	It("keeps no file of a call that never comes", func() {
		c := serve(Function{Call: echo[[]*os.File]}, 1)
		r, w := pipes()
		c.sendFiles(1, w) // the parent could not send them all
		c.sendFiles(2, w)
		kept := func() int { return look(c, func(c *control) int { return len(c.early) }) }
		g.Eventually(kept).Should(g.Equal(2))
		c.call(header{call: 3}, []*os.File{})
		g.Expect(c.next(Result).call).To(g.Equal(uint64(3)))
		c.sendFiles(2, w)
		c.call(header{call: 4}, []*os.File{w}, w) // it looks for messages before it begins
		f := c.next(Result)
		f.receiveFiles(c.socket)
		f.Close()
		g.Expect(kept()).To(g.BeZero())
		closed(r, w)
	})

	It("says that files are missing", func() {
		c := serve(Function{Call: echo[[]*os.File]}, 1)
		_, w := pipes()
		c.sendFiles(1, w)
		_ = specs.OK(c.params.Write(mustEncode(header{Kind: called, call: 1}, []*os.File{w, w}, 0)))
		g.Expect(says[Failure](c, Unread).Message).To(g.HavePrefix("cannot decode parameter in child, reason: open files could not be received"))
	})
})

type bad struct{ X int }

func (bad) MarshalJSON() ([]byte, error)  { return nil, errors.New("bad") }
func (*bad) UnmarshalJSON(b []byte) error { return nil }

// startServing returns a child that serves as a whole, what it answers, and the other end of its socket.
func startServing(o child.Orders, stdin io.Reader) (cmd *exec.Cmd, answers, socket *os.File) {
	GinkgoHelper()
	answers, w := pipes()
	socket, theirs := sockets()
	o.Answers, o.Control, o.Stderr = 3, 4, 5
	cmd = specs.Child("serve")
	cmd.Env = append(cmd.Env, o.Vars()...)
	cmd.ExtraFiles = []*os.File{w, theirs, w}
	cmd.Stdin = stdin
	g.Expect(cmd.Start()).To(g.Succeed())
	sys.CloseAll(w, theirs)
	return cmd, answers, socket
}

var _ = Describe("a child", func() {
	It("whose answers are not taken ends by itself", func() {
		stdin, w := pipes()
		cmd, answers, _ := startServing(child.Orders{Action: "foo", Grace: time.Hour}, stdin)
		g.Expect(answers.Close()).To(g.Succeed())
		_ = specs.OK(w.Write(mustEncode(header{Kind: called, call: 1}, request{}, 0)))
		g.Expect(cmd.Wait()).To(g.Succeed())
	})

	It("ends the grace period after its parent", func() {
		stdin, _ := pipes()
		cmd, _, socket := startServing(child.Orders{Action: "foo", Grace: 50 * time.Millisecond}, stdin)
		g.Expect(socket.Close()).To(g.Succeed())
		g.Expect(cmd.Wait()).To(g.MatchError("exit status 1"))
	})
})
