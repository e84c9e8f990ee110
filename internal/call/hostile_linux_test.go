package call

import (
	"context"
	"fmt"
	"os"
	"strings"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

var _ = DescribeTable("a child that says what it likes", func(expected string, script ...string) {
	spec := plays("hostile", script...)
	spec.Grace, spec.Stream = short, true
	o := startOnce(background, spec, request{})
	var got []string
	for !o.answered {
		answer, err := o.next()
		if err != nil {
			break
		}
		value := any(new(string))
		if answer.files > 0 && !strings.Contains(script[len(script)-1], "none") {
			value = new([]*os.File)
		}
		got = append(got, string(rune(answer.Kind)))
		if err := answer.Decode(value); err != nil {
			got = append(got, err.Error())
		}
	}
	end := o.close()
	if end.Word.Kind != 0 {
		got = append(got, string(rune(end.Word.Kind)))
	}
	if end.Fault != nil {
		got = append(got, end.Fault.Error())
	}
	g.Expect(strings.Join(got, ", ")).To(g.Equal(expected))
},
	Entry("nothing", ""),
	Entry("a result", "R", "frame 1 0 R 1"),
	Entry("two results", "R, frame of kind 'R' answers nothing", "frame 1 0 R 1", "frame 1 0 R 2"),
	Entry("a result of another call", "frame of kind 'R' answers nothing", "frame 2 0 R 1", "frame 1 0 R 2"),
	Entry("an event after the result", "R, frame of kind 'E' answers nothing", "frame 1 0 R 1", "frame 1 0 E 2"),
	Entry("what it should not", "frame of kind '?' answers nothing", "frame 1 0 ? 1", "frame 1 0 R 1"),
	Entry("what its parent should say", "frame of kind 'C' answers nothing", "frame 1 0 C 1"),
	Entry("that it is ready, of which nothing was asked", "Y", "frame 1 0 Y"),
	Entry("that it does not serve", "N", "frame 0 0 N 1", "frame 0 0 N 2"),
	Entry("that it does not serve, and then more", "N", "frame 0 0 N 1", "frame 1 0 R 1"),
	Entry("that it panics, and then more", "P, P, frame of kind 'R' answers nothing", "frame 1 0 P 1", "frame 1 0 R 1"),
	Entry("that it was asked where it is", "S", "frame 1 0 S 1"),
	Entry("as if its types were others", errReplaced.Error(), "frame 1 0 R hash"),
	Entry("that files come, which do not", "R, open files could not be received: child has not sent them", "frame 1 1 R {}"),
	Entry("that files come, but less", "R, open files could not be received: child has not sent them", "files 1 1", "frame 1 2 R {}"),
	Entry("that files come, but more", "R, bytes or open files that are not those of a value of this type", "files 1 3", "frame 1 2 R {}"),
	Entry("that files come, for which there is no place", "R, bytes or open files that are not those of a value of this type", "files 1 1", "frame 1 1 R none"),
	Entry("that files come, but those of another call", "R, open files could not be received: child has not sent them", "files 2 1", "frame 1 1 R {}"),
	Entry("that files come, but a cancellation", "R, open files could not be received: child has not sent them", "cancel 1", "frame 1 1 R {}"),
	Entry("that files come, more than there can be", "R, open files could not be received: child has not sent them", "files 1 1", "frame 1 4000000000 R {}"),
	Entry("that files come for another call", "frame of kind 'R' answers nothing", "files 2 1", "frame 2 1 R {}"),
	Entry("that files come with what it should not say", "frame of kind '?' answers nothing", "files 1 1", "frame 1 1 ? {}"),
	Entry("that files come with a refusal", "N", "files 0 1", "frame 0 1 N {}", "frame 0 0 N {}"),
	Entry("that files come with a panic", "P, bytes or open files that are not those of a value of this type, P", "files 1 1", "frame 1 1 P {}", "read none"),
	Entry("nothing of files that were not asked for", "R", "files 1 5", "files 2 5", "frame 1 0 R 1"),
	Entry("events, and then a result", "E, E, R", "frame 1 0 E 1", "frame 1 0 E 2", "frame 1 0 R 1"),
	Entry("a result, and lingers", "R", "frame 1 0 R 1", "linger"),
	Entry("nonsense, and lingers", "frame of kind '?' answers nothing", "frame 1 0 ? 1", "linger"),
)

var _ = DescribeTable("a worker that says what it likes", func(expected string, script ...string) {
	spec := plays("hostile", append([]string{"frame 0 0 Y"}, script...)...)
	spec.Grace = short
	w := worker(spec, 1)
	answer, err := w.Call(background, new(request))
	answer.Close()
	got := string(rune(answer.Kind))
	if err != nil {
		got = err.Error()
	}
	if end := w.Died(); end.Fault != nil {
		got += ", " + end.Fault.Error()
	}
	g.Expect(got).To(g.Equal(expected))
},
	Entry("a result", "R", "read", "frame 1 0 R 1"),
	Entry("a result of another call", "child has ended, frame of kind 'R' answers nothing", "read", "frame 2 0 R 1"),
	Entry("a second answer to the same call", "R, frame of kind 'F' answers nothing", "read", "frame 1 0 R 1", "frame 1 0 F 1"),
	Entry("an event", "child has ended, frame of kind 'E' answers nothing", "read", "frame 1 0 E 1", "frame 1 0 R 1"),
	Entry("that it is ready, again", "child has ended, frame of kind 'Y' answers nothing", "read", "frame 0 0 Y"),
	Entry("that it does not serve", "child has ended", "read", "frame 0 0 N 1"),
	Entry("as if its types were others", "child has ended, "+errReplaced.Error(), "read", "frame 1 0 R hash"),
)

var _ = Describe("a child that says too much", func() {
	It("takes no memory when nothing is heard any more", func() {
		spec := plays("hostile", "frames 1 0 E x")
		spec.Grace, spec.Stream = short, true
		o := startOnce(background, spec, request{})
		_ = specs.OK(o.next())
		g.Expect(o.close().Killed).To(g.Equal(child.ErrLingers))
	})

	DescribeTable("is not heard at all", func(said, fault string) {
		spec := plays("hostile", said)
		spec.Grace, spec.Concurrency = short, 1
		_, err := Start(background, spec)
		end := endOf(err)
		g.Expect(end.Fault).To(g.MatchError(fault))
		g.Expect(end.NotBegun).To(g.BeTrue())
		g.Expect(end.Closed).To(g.BeFalse())
	},
		Entry("before it is ready", "frames 1 0 E x", "frame of kind 'E' answers nothing"),
		Entry("if it is another program", "frame 0 0 Y hash", errReplaced.Error()),
	)

	DescribeTable("does not hold up the end of a context", func(spec Spec) {
		spec.Env = plays("hostile", "frame 0 0 Y", "read", "endless 1").Env
		spec.Grace = short
		w := worker(spec, 2)
		ctx, cancel := context.WithCancelCause(background)
		first := w.calling(background, request{})
		w.sent(1)
		w.locked(func() { w.last = 5 })
		second := w.calling(ctx, request{})
		w.sent(2)
		g.Consistently(second, "20ms").ShouldNot(g.Receive())
		cancel(errEnough)
		var err error
		g.Eventually(second).Should(g.Receive(&err))
		g.Expect(err).To(g.Or(g.Equal(&Cancelled{Cause: errEnough, Begun: true}), g.BeAssignableToTypeOf(&End{})))
		g.Expect(ended(first).Killed).To(g.Equal(errEnough))
	},
		Entry("of a plain function", plain()),
		Entry("of one that obeys its context", obedient()),
	)

	DescribeTable("may say what makes no frame", func(said string) {
		o := startOnce(background, plays("hostile", said), request{})
		g.Expect(o.next()).Error().To(g.Equal(errOver))
		end := o.close()
		g.Expect(end.Status).NotTo(g.HaveOccurred())
		g.Expect(end.Fault).NotTo(g.HaveOccurred())
	},
		Entry("nothing", ""),
		Entry("a kind", "bytes 82 1"),
		Entry("a header", fmt.Sprint("bytes 255 ", headerSize)),
	)
})
