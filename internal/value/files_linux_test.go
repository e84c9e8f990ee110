package value

import (
	"os"
	"runtime"
	"syscall"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

// descriptor returns a new descriptor of an open file.
func descriptor(f *os.File) int {
	GinkgoHelper()
	return specs.OK(syscall.Dup(int(f.Fd())))
}

var _ = Describe("open files", func() {
	// pipes returns descriptors of n pipes, and what expects all of these to be closed.
	pipes := func(n int) (writers []int, expectClosed func()) {
		GinkgoHelper()
		var readers []*os.File
		for range n {
			r, w := specs.OK2(os.Pipe())
			DeferCleanup(r.Close)
			writers, readers = append(writers, descriptor(w)), append(readers, r)
			g.Expect(w.Close()).To(g.Succeed())
		}
		return writers, func() {
			GinkgoHelper()
			for _, r := range readers {
				g.Expect(syscall.SetNonblock(int(r.Fd()), true)).To(g.Succeed())
				g.Expect(syscall.Read(int(r.Fd()), make([]byte, 1))).To(g.BeZero(), "it is at its end")
			}
		}
	}

	type everywhere struct {
		*os.File
		Before string
		Slice  []*os.File
		Map    map[string]*os.File
		Array  [2]**os.File
		Left   *os.File `json:"-"`
		hidden *os.File
		Any    any
		Next   *everywhere
	}
	file := func(name string) *os.File {
		GinkgoHelper()
		f := os.NewFile(uintptr(descriptor(os.Stdout)), name)
		DeferCleanup(f.Close)
		return f
	}

	It("are in their places, with their names", func() {
		r, w := specs.OK2(os.Pipe())
		defer r.Close()
		defer w.Close()
		sent := everywhere{File: r, Slice: []*os.File{nil, w}, Map: map[string]*os.File{"a": r, "\xff": w, "nil": nil}, Array: [2]**os.File{1: &w},
			Left: r, hidden: r, Next: &everywhere{File: w}}
		b, files := specs.OK2(encode(&sent))
		g.Expect(files).To(g.HaveLen(6))
		g.Expect(Files(&sent)).To(g.ConsistOf(files))
		var descriptors []int
		for _, f := range files {
			descriptors = append(descriptors, descriptor(f))
		}
		var got everywhere
		g.Expect(Decode(b, descriptors, &got)).To(g.Succeed())
		g.Expect(Files(&got)).To(g.HaveLen(6))
		for got, sent := range map[*os.File]*os.File{got.File: r, got.Slice[1]: w, got.Map["a"]: r, got.Map["\xff"]: w, *got.Array[1]: w, got.Next.File: w} {
			g.Expect(os.SameFile(specs.OK(got.Stat()), specs.OK(sent.Stat()))).To(g.BeTrue())
			g.Expect(got.Name()).To(g.Equal(sent.Name()))
			g.Expect(got.Close()).To(g.Succeed())
		}
		g.Expect([]*os.File{got.Slice[0], got.Map["nil"], got.Left, got.hidden}).To(g.HaveEach(g.BeNil()))
	})

	It("that were never opened are an error", func() {
		_, _, err := encode(&[]*os.File{{}})
		g.Expect(err).To(g.MatchError(os.ErrInvalid))
	})

	It("are found in what cannot be encoded, and without its methods", func() {
		f := file("a")
		g.Expect(Files(&struct {
			Bad picky
			F   *os.File
			Any any
		}{F: f, Any: make(chan int)})).To(g.Equal([]*os.File{f}))
		g.Expect(Files(new(int))).To(g.BeEmpty())
		g.Expect(Files(new(chan int))).To(g.BeEmpty())
	})

	It("are closed if there are too many or too few, or if the rest cannot be decoded", func() {
		fails := func(b []byte, n int, into any, matcher any) {
			GinkgoHelper()
			writers, expectClosed := pipes(n)
			g.Expect(Decode(b, writers, into)).To(g.MatchError(matcher))
			expectClosed()
		}
		one, two := mustEncode(&[]*os.File{file("a"), nil}), mustEncode(&[]*os.File{file("a"), file("b")})
		for _, n := range []int{0, 2} {
			var got []*os.File
			fails(one, n, &got, errBytes)
			g.Expect(got).To(g.BeNil())
		}
		for cut := range two {
			fails(two[:cut], 2, new([]*os.File), g.Or(g.Equal(errBytes.Error()), g.Equal(errMemory.Error())))
		}
		fails(two, 2, new(chan int), "chan int cannot travel")
	})

	DescribeTable("are closed if a method", func(how string) {
		value := struct {
			A *os.File
			B explosive
			C *os.File
		}{file("a"), explosive(how), file("c")}
		b := mustEncode(&value)
		writers, expectClosed := pipes(2)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer func() { _ = recover() }()
			_ = Decode(b, writers, &value)
		}()
		<-ended
		g.Expect(value.A).To(g.BeNil())
		expectClosed()
	},
		Entry("panics", "panic"),
		Entry("ends its goroutine", "goexit"),
	)
})

// An explosive value does not let its decoder come to an end.
type explosive string

func (e explosive) MarshalText() ([]byte, error) { return []byte(e), nil }
func (e *explosive) UnmarshalText(b []byte) error {
	if string(b) == "panic" {
		panic("at the decoder")
	}
	runtime.Goexit()
	return nil
}
