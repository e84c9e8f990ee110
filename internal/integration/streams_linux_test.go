package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"strings"

	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
)

// A program is what stream happening does: a number of events, and then something else.
type program struct {
	Events int
	Size   int // of each
	Then   string
}

type happening struct {
	Number int
	Text   string
	Do     wild // happens in the encoder or the decoder
}

// A wild value is one that must be tamed where it is encoded or decoded.
type wild string

func (w wild) MarshalJSON() ([]byte, error) {
	switch w {
	case "panic in child":
		panic("encoder")
	case "end in child":
		runtime.Goexit()
	case "fail in child":
		return nil, errors.New("encoder failed")
	}
	return []byte(`"` + w + `"`), nil
}

func (w *wild) UnmarshalJSON(b []byte) error {
	switch *w = wild(strings.Trim(string(b), `"`)); *w {
	case "panic":
		panic("decoder")
	case "end":
		runtime.Goexit()
	case "fail":
		return errors.New("decoder failed")
	}
	return nil
}

// A treason is an event that ends the context of its loop, and cannot be decoded.
type treason struct{ _ int }

var betray = func() {}

func (treason) MarshalJSON() ([]byte, error) { return nil, nil }
func (*treason) UnmarshalJSON([]byte) error  { betray(); return errors.New("no such event") }

var treasons = reexec.RegisterStream("treasons", func(ctx context.Context, _ struct{}, yield func(treason) bool) error {
	yield(treason{})
	<-ctx.Done()
	return ctx.Err()
})

var happenings = reexec.RegisterStream("happenings",
	func(ctx context.Context, p program, yield func(happening) bool) error {
		e := happening{Text: strings.Repeat("x", p.Size)}
		for e.Number = range p.Events {
			if !yield(e) {
				fmt.Fprintf(os.Stderr, "not wanted: %v, %v\n", ctx.Err(), context.Cause(ctx))
				if yield(e) {
					fmt.Fprintln(os.Stderr, "wanted again")
				}
				if p.Then == "stay" {
					enter("stays")
				}
				return errors.New("which nobody hears")
			}
			fmt.Fprintf(os.Stderr, "yielded %d.\n", e.Number)
		}
		switch p.Then {
		case "exit":
			os.Exit(3)
		case "fail":
			return fmt.Errorf("no more: %w", os.ErrClosed)
		case "panic":
			panic("at the disco")
		case "end":
			runtime.Goexit()
		case "wait":
			fmt.Fprintln(os.Stderr, "waits")
			<-ctx.Done()
			return fmt.Errorf("waited: %w", ctx.Err())
		case "":
		default:
			if !yield(happening{Do: wild(p.Then), Number: p.Events}) {
				return errors.New("could not be sent, or is not wanted")
			}
		}
		return nil
	})

// numbers are those of all events up to an error.
func numbers(events iter.Seq2[happening, error]) (numbers []int, err error) {
	for e, err := range events {
		if err != nil {
			return numbers, err
		}
		numbers = append(numbers, e.Number)
	}
	return numbers, nil
}

func upTo(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i)
	}
	return numbers
}

var _ = Describe("events of streams", func() {
	DescribeTable("come all, in order", func(events, size int) {
		for range 2 {
			Expect(numbers(happenings.Call(background, program{Events: events, Size: size}, silently))).To(Equal(upTo(events)))
		}
	},
		Entry("none", 0, 0), Entry("one", 1, 0), Entry("many", 3000, 0), Entry("large ones", 20, 300<<10),
		Entry("huge ones", 2, 8<<20))

	It("come as they happen", func() {
		g := newGate()
		ctx, cancel := context.WithCancelCause(background)
		defer cancel(nil)
		for e, err := range happenings.Call(ctx, program{Events: 1, Then: "wait"}, g.options(ofGrace(time.Hour))...) {
			if err != nil {
				Expect(err).To(MatchError(errEnough))
				break
			}
			Expect(e.Number).To(Equal(0))
			g.says("waits")
			cancel(errEnough)
		}
		Expect(isOver(ctx.Done())).To(BeTrue())
	})

	It("are not lost by an exit right after them", func() {
		for i := range 12 {
			got, err := numbers(happenings.Call(background, program{Events: 3 * i, Size: i * 3000, Then: "exit"}, silently))
			Expect(got).To(Equal(upTo(3 * i)))
			Expect(exitCode(err)).To(Equal(3))
			asActionError(err)
		}
	})

	DescribeTable("end with an error, which is the last pair", func(then string, isError func(error)) {
		var got []happening
		var errs []error
		for e, err := range happenings.Call(background, program{Events: 3, Then: then}, silently) {
			got, errs = append(got, e), append(errs, err)
		}
		Expect(got).To(HaveLen(4))
		Expect(got[3]).To(BeZero())
		Expect(errs[:3]).To(HaveEach(BeNil()))
		isError(errs[3])
	},
		Entry("of the function", "fail", func(err error) {
			Expect(as[*reexec.FuncError](err)).To(And(MatchError("no more: file already closed"), MatchError(os.ErrClosed)))
		}),
		Entry("of a panic", "panic", func(err error) { Expect(as[*reexec.PanicError](err).Value).To(Equal("at the disco")) }),
		Entry("of a goroutine that ends", "end", func(err error) { as[*reexec.PanicError](err) }),
		Entry("of the child", "exit", func(err error) { Expect(exitCode(err)).To(Equal(3)) }),
		Entry("of an encoder", "fail in child", func(err error) {
			Expect(asActionError(err)).To(MatchError(ContainSubstring("cannot encode event in child, reason: integration.wild: encoder failed")))
		}),
		Entry("of an encoder that panics", "panic in child", func(err error) { Expect(as[*reexec.PanicError](err).Value).To(Equal("encoder")) }),
		Entry("of an encoder that ends its goroutine", "end in child", func(err error) { as[*reexec.PanicError](err) }))

	It("end with the decoder's error, whatever the child does then", func() {
		for _, grace := range []time.Duration{0, time.Hour} {
			got, err := numbers(undecodable.Call(background, "fail", silently, ofGrace(grace)))
			Expect(got).To(Equal([]int{0}))
			Expect(asActionError(err)).To(MatchError(`gons/reexec: function "undecodable": cannot decode child result, reason: decoder failed`))
		}
	})

	It("end with the context, even if that ends while an event cannot be decoded", func() {
		ctx, cancel := context.WithCancelCause(background)
		betray = func() { cancel(errEnough) }
		for _, err := range treasons.Call(ctx, struct{}{}) {
			Expect(err).To(MatchError(errEnough))
			asActionError(err)
		}
	})

	It("end with a context that is over", func() {
		ctx, cancel := context.WithCancelCause(background)
		events := happenings.Call(ctx, program{Events: 3}, silently)
		Expect(numbers(events)).To(HaveLen(3))
		cancel(errEnough)
		got, err := numbers(events)
		Expect(got).To(BeEmpty())
		Expect(err).To(And(MatchError(errEnough), MatchError(ContainSubstring("child was not started"))))
	})

	It("end with the context, and the function's error is wrapped", func() {
		ctx, cancel := context.WithCancelCause(background)
		defer cancel(nil)
		got, err := numbers(happenings.Call(ctx, program{Events: 2, Then: "wait"}, ofGrace(time.Hour),
			onStderr(func(said string) {
				if strings.Contains(said, "waits") {
					cancel(errEnough)
				}
			})))
		Expect([]int{0, 1}).To(ContainElements(got), "what was still in the pipe is dropped")
		Expect(err).To(MatchError(errEnough))
		Expect(as[*reexec.FuncError](err).Message).To(Equal("waited: context canceled"))
	})

	Context("when the loop is left", func() {
		It("are not wanted any more, and the function's context ends", func() {
			g := newGate()
			got := 0
			for e, err := range happenings.Call(background, program{Events: 1 << 30}, g.options(ofGrace(time.Hour))...) {
				Expect(err).NotTo(HaveOccurred())
				Expect(e.Number).To(Equal(got))
				if got++; got == 10 {
					break
				}
			}
			Expect(children()).To(BeEmpty())
			Expect(g.stderr).To(gbytes.Say("not wanted: context canceled, context canceled\n$"))
		})

		It("end the context also of a function that does not yield", func() {
			for e, err := range happenings.Call(background, program{Events: 1, Then: "wait"}, silently, ofGrace(time.Hour)) {
				Expect(err).NotTo(HaveOccurred())
				Expect(e.Number).To(BeZero())
				break
			}
			Expect(children()).To(BeEmpty())
		})

		It("give the child no more than the grace period", func() {
			g := newGate()
			begin := time.Now()
			for range happenings.Call(background, program{Events: 1 << 30, Then: "stay"}, g.options(ofGrace(50*time.Millisecond))...) {
				break
			}
			Expect(time.Since(begin)).To(BeNumerically(">=", 50*time.Millisecond))
			Expect(g.said("stays")).To(Equal(1))
			Expect(children()).To(BeEmpty())
		})

		It("leave nothing behind, whenever that is", func() {
			for i := range 10 {
				seen := 0
				for _, err := range happenings.Call(background, program{Events: 20, Size: 10000}, silently, ofGrace(time.Hour)) {
					Expect(err).NotTo(HaveOccurred())
					if seen++; seen > 3*i {
						break
					}
				}
				Expect(children()).To(BeEmpty())
			}
		})

		DescribeTable("leave nothing behind, however that is", func(leave func()) {
			Expect(fate(func() {
				for range happenings.Call(background, program{Events: 1 << 30}, silently, ofGrace(time.Hour)) {
					leave()
				}
			})).To(Or(Equal("panic: loop"), Equal("goexit")))
			Expect(children()).To(BeEmpty())
		},
			Entry("by a panic", func() { panic("loop") }), Entry("by the end of the goroutine", runtime.Goexit))
	})

	DescribeTable("whose decoder goes wild leave nothing behind", func(how string) {
		seen := 0
		Expect(fate(func() {
			for range undecodable.Call(background, rawWild(how), silently, ofGrace(time.Hour)) {
				seen++
			}
		})).To(Or(Equal("panic: decoder"), Equal("goexit")))
		Expect(seen).To(Equal(1))
		Expect(children()).To(BeEmpty())
	},
		Entry("by a panic", "panic"), Entry("by the end of the goroutine", "end"))

	It("slow the function down to the loop's speed", func() {
		g := newGate()
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range happenings.Call(ctx, program{Events: 1 << 30, Size: 100 << 10}, g.options(ofGrace(time.Hour))...) {
			// All that fits into the pipe is there after a while.
			yielded := -1
			Eventually(func() bool {
				last := yielded
				yielded = g.said("yielded")
				return last == yielded
			}, "30s", "50ms").Should(BeTrue())
			Expect(yielded).To(BeNumerically("<", 20))
			break
		}
		runtime.ReadMemStats(&after)
		Expect(after.TotalAlloc - before.TotalAlloc).To(BeNumerically("<", 16<<20))
	})

	It("are those of each loop", func() {
		events := happenings.Call(background, program{Events: 100}, silently)
		together(8, func(int) error {
			got, err := numbers(events)
			if err == nil && len(got) != 100 {
				err = fmt.Errorf("%v", got)
			}
			return err
		})
		Expect(numbers(events)).To(Equal(upTo(100)), "ranging again runs the function again")
	})

	It("are not looked for before the loop", func() {
		heard := gbytes.NewBuffer()
		happenings.Call(background, program{Events: 1}, reexec.Stderr(heard))
		Consistently(heard, "20ms").ShouldNot(gbytes.Say("yielded"))
		Expect(children()).To(BeEmpty())
	})

	It("happen in namespaces", func() {
		n := newNeighbour("user", "net")
		for id, err := range networks.Call(background, 3, n.in("!user", "!net")) {
			Expect(err).NotTo(HaveOccurred())
			Expect(id).To(Equal(n.ID("net")))
		}
	})

	It("are not there if the child is not where it should be", func() {
		specs.NeedsCgo()
		seen := 0
		for _, err := range networks.Call(background, 3, joining(reexec.Namespace{Type: "!net", Path: "/nowhere"})) {
			Expect(err).To(MatchError(ContainSubstring("package gons: invalid gons_net reference")))
			seen++
		}
		Expect(seen).To(Equal(1))
	})

	It("are not told by programming mistakes", func() {
		var zero reexec.Stream[int, int]
		Expect(func() { zero.Call(background, 1) }).To(PanicWith(ContainSubstring("zero Func or Stream")))
		Expect(func() { counting.Call(noContext, 1) }).To(PanicWith("nil Context"))
		for _, option := range []option{reexec.Param(1), reexec.Result(new(int))} {
			Expect(func() { counting.Call(background, 1, option) }).To(PanicWith(ContainSubstring("neither the option Param nor the option Result")))
		}
		Expect(func() { counting.Call(background, 1, nil) }).To(PanicWith(ContainSubstring("nil option")))
		stream := func(context.Context, int, func(int) bool) error { return nil }
		Expect(func() { reexec.RegisterStream("answer", stream) }).To(PanicWith(ContainSubstring("already registered")))
		Expect(func() { reexec.RegisterStream("", stream) }).To(Panic())
		Expect(func() { reexec.RegisterStream[int, int]("no stream", nil) }).To(Panic())
	})

	It("cannot be asked for by a parameter that cannot be encoded or decoded", func() {
		for _, err := range pickyStream.Call(background, "fail in parent") {
			Expect(err).To(MatchError(And(ContainSubstring("cannot send parameter to child, reason: "), ContainSubstring("too bad for the parent"))))
		}
		for _, err := range pickyStream.Call(background, "bad") {
			Expect(err).To(MatchError(ContainSubstring("cannot decode parameter in child, reason: too bad")))
			Expect(err).To(MatchError(reexec.ErrNotStarted))
		}
	})
})

// undecodable yields events, of which the second one may be wild, without end.
var undecodable = reexec.RegisterStream("undecodable", func(_ context.Context, how rawWild, yield func(happening) bool) error {
	for i := range 1 << 30 {
		e := happening{Number: i}
		if i == 1 {
			e.Do = wild(how)
		}
		if !yield(e) {
			break
		}
	}
	return nil
})

// A rawWild is a wild value that is tame in the child.
type rawWild string

var networks = reexec.RegisterStream("networks", func(_ context.Context, n int, yield func(string) bool) error {
	for range n {
		id, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil || !yield(id) {
			return err
		}
	}
	return nil
})

var pickyStream = reexec.RegisterStream("picky stream", func(_ context.Context, _ pickyInParent, _ func(int) bool) error { return io.EOF })

// A pickyInParent cannot be encoded if it says so.
type pickyInParent string

func (p pickyInParent) MarshalJSON() ([]byte, error) {
	if p == "fail in parent" {
		return nil, errors.New("too bad for the parent")
	}
	return json.Marshal(string(p))
}

func (p *pickyInParent) UnmarshalJSON(b []byte) error { return (*pickyParam)(p).UnmarshalJSON(b) }
