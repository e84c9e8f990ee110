package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"slices"
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

// inOrder returns how many events come, which must be numbered so, and the error that is the last pair.
func inOrder(events iter.Seq2[happening, error]) (int, error) {
	got, err := all(events)
	for i, e := range got {
		if e.Number != i {
			return i, fmt.Errorf("number %d comes as number %d", e.Number, i)
		}
	}
	return len(got), err
}

var _ = Describe("events of streams", func() {
	DescribeTable("come all, in order", func(events, size int) {
		for range 2 {
			Expect(inOrder(happenings.Call(background, program{Events: events, Size: size}, silently))).To(Equal(events))
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
			got, err := inOrder(happenings.Call(background, program{Events: 3 * i, Size: i * 3000, Then: "exit"}, silently))
			Expect(got).To(Equal(3 * i))
			Expect(exitCode(asActionError(err))).To(Equal(3))
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
		Entry("of an encoder", "encoder fails", func(err error) {
			Expect(asActionError(err)).To(MatchError(ContainSubstring("cannot encode event in child, reason: integration.wild: encoder failed")))
		}),
		Entry("of an encoder that panics", "encoder panics", func(err error) { Expect(as[*reexec.PanicError](err).Value).To(Equal("encoder")) }),
		Entry("of an encoder that ends its goroutine", "encoder ends", func(err error) { as[*reexec.PanicError](err) }))

	It("end with the decoder's error, whatever the child does then", func() {
		for _, grace := range []time.Duration{0, time.Hour} {
			got, err := inOrder(endless.Call(background, "decoder fails", silently, ofGrace(grace)))
			Expect(got).To(Equal(1))
			Expect(asActionError(err)).To(MatchError(`gons/reexec: function "endless": cannot decode child result, reason: decoder failed`))
		}
	})

	It("end with the context, even if that ends while an event cannot be decoded", func() {
		ctx, cancel := context.WithCancelCause(background)
		betray = func() { cancel(errEnough) }
		Expect(asActionError(errorOf(all(endless.Call(ctx, "decoder betrays", silently))))).To(MatchError(errEnough))
	})

	It("end with a context that is over", func() {
		ctx, cancel := context.WithCancelCause(background)
		events := happenings.Call(ctx, program{Events: 3}, silently)
		Expect(inOrder(events)).To(Equal(3))
		cancel(errEnough)
		Expect(all(events)).Error().To(And(MatchError(errEnough), MatchError(ContainSubstring("child was not started"))))
	})

	It("end with the context, and the function's error is wrapped", func() {
		ctx, cancel := context.WithCancelCause(background)
		defer cancel(nil)
		got, err := inOrder(happenings.Call(ctx, program{Events: 2, Then: "wait"}, ofGrace(time.Hour),
			onStderr(func(said string) {
				if strings.Contains(said, "waits") {
					cancel(errEnough)
				}
			})))
		Expect(got).To(BeNumerically("<=", 2), "what was still in the pipe is dropped")
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

		DescribeTable("leave nothing behind, however that is", func(wildness string, leave func(), end string) {
			seen := 0
			Expect(fate(func() {
				for range endless.Call(background, wildness, silently, ofGrace(time.Hour)) {
					seen++
					leave()
				}
			})).To(Equal(end))
			Expect(seen).To(Equal(1))
			Expect(children()).To(BeEmpty())
		},
			Entry("by a panic", "", func() { panic("loop") }, "panic: loop"),
			Entry("by the end of the goroutine", "", runtime.Goexit, "goexit"),
			Entry("by a panic of the decoder", "decoder panics", func() {}, "panic: decoder"),
			Entry("by the end of the goroutine in the decoder", "decoder ends", func() {}, "goexit"))
	})

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
			got, err := inOrder(events)
			if err == nil && got != 100 {
				err = fmt.Errorf("%d events", got)
			}
			return err
		})
		Expect(inOrder(events)).To(Equal(100), "ranging again runs the function again")
	})

	It("are not looked for before the loop", func() {
		heard := gbytes.NewBuffer()
		happenings.Call(background, program{Events: 1}, reexec.Stderr(heard))
		Consistently(heard, "20ms").ShouldNot(gbytes.Say("yielded"))
		Expect(children()).To(BeEmpty())
	})

	It("happen in namespaces", func() {
		n := newNeighbour("user", "net")
		Expect(all(networks.Call(background, 3, n.in("!user", "!net")))).To(Equal(slices.Repeat([]string{n.ID("net")}, 3)))
	})

	It("are not there if the child is not where it should be", func() {
		specs.NeedsCgo()
		Expect(all(networks.Call(background, 3, joining(reexec.Namespace{Type: "!net", Path: "/nowhere"})))).Error().To(
			MatchError(ContainSubstring("package gons: invalid gons_net reference")))
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
		Expect(all(pickyStream.Call(background, "encoder fails"))).Error().To(
			MatchError(And(ContainSubstring("cannot send parameter to child, reason: "), ContainSubstring("encoder failed"))))
		Expect(all(pickyStream.Call(background, "decoder fails"))).Error().To(And(MatchError(reexec.ErrNotStarted),
			MatchError(ContainSubstring("cannot decode parameter in child, reason: decoder failed"))))
	})
})

// endless yields events, of which the second one may be wild, without end.
var endless = reexec.RegisterStream("endless", func(_ context.Context, how string, yield func(happening) bool) error {
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

var networks = reexec.RegisterStream("networks", func(_ context.Context, n int, yield func(string) bool) error {
	for range n {
		id, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil || !yield(id) {
			return err
		}
	}
	return nil
})

var pickyStream = reexec.RegisterStream("picky stream", func(context.Context, wild, func(int) bool) error { return io.EOF })
