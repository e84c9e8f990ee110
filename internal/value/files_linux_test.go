package value

import (
	"os"
	"runtime"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

var _ = Describe("open files", func() {

	// pipes returns descriptors of n pipes, and their other ends, which tell whether these are closed.
	pipes := func(n int) (writers []int, readers []*os.File) {
		GinkgoHelper()
		for range n {
			r, w, err := os.Pipe()
			g.Expect(err).NotTo(g.HaveOccurred())
			DeferCleanup(r.Close)
			fd, err := syscall.Dup(int(w.Fd()))
			g.Expect(err).NotTo(g.HaveOccurred())
			g.Expect(w.Close()).To(g.Succeed())
			writers, readers = append(writers, fd), append(readers, r)
		}
		return writers, readers
	}
	closed := func(readers []*os.File) {
		GinkgoHelper()
		for _, r := range readers {
			g.Expect(r.SetReadDeadline(time.Now().Add(10 * time.Second))).To(g.Succeed())
			_, err := r.Read(make([]byte, 1))
			g.Expect(err).To(g.MatchError("EOF"))
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
	files := func(names ...string) (files []*os.File) {
		GinkgoHelper()
		for _, name := range names {
			fd, err := syscall.Dup(int(os.Stdout.Fd()))
			g.Expect(err).NotTo(g.HaveOccurred())
			f := os.NewFile(uintptr(fd), name)
			DeferCleanup(f.Close)
			files = append(files, f)
		}
		return files
	}

	It("are in their places, with their names", func() {
		r, w, err := os.Pipe()
		g.Expect(err).NotTo(g.HaveOccurred())
		defer r.Close()
		defer w.Close()
		sent := everywhere{File: r, Slice: []*os.File{nil, w}, Map: map[string]*os.File{"a": r, "\xff": w, "nil": nil}, Array: [2]**os.File{1: &w},
			Left: r, hidden: r, Next: &everywhere{File: w}}
		b, files, err := encode(&sent)
		g.Expect(err).NotTo(g.HaveOccurred())
		g.Expect(files).To(g.HaveLen(6))
		g.Expect(Files(&sent)).To(g.ConsistOf(files))
		var descriptors []int
		for _, f := range files {
			fd, err := syscall.Dup(int(f.Fd()))
			g.Expect(err).NotTo(g.HaveOccurred())
			descriptors = append(descriptors, fd)
		}
		var got everywhere
		g.Expect(Decode(b, descriptors, &got)).To(g.Succeed())
		received := Files(&got)
		g.Expect(received).To(g.HaveLen(6))
		expect := func(got, sent *os.File) {
			GinkgoHelper()
			a, err := got.Stat()
			g.Expect(err).NotTo(g.HaveOccurred())
			b, err := sent.Stat()
			g.Expect(err).NotTo(g.HaveOccurred())
			g.Expect(os.SameFile(a, b)).To(g.BeTrue())
			g.Expect(got.Name()).To(g.Equal(sent.Name()))
		}
		expect(got.File, r)
		expect(got.Slice[1], w)
		expect(got.Map["a"], r)
		expect(got.Map["\xff"], w)
		expect(*got.Array[1], w)
		expect(got.Next.File, w)
		g.Expect([]*os.File{got.Slice[0], got.Map["nil"], got.Left, got.hidden}).To(g.HaveEach(g.BeNil()))
		for _, f := range received {
			g.Expect(f.Close()).To(g.Succeed())
		}
	})

	It("that were never opened are an error", func() {
		_, _, err := encode(&[]*os.File{{}})
		g.Expect(err).To(g.MatchError(os.ErrInvalid))
	})

	It("are found in what cannot be encoded, and without its methods", func() {
		f := files("a")[0]
		g.Expect(Files(&struct {
			Bad picky
			F   *os.File
			Any any
		}{F: f, Any: make(chan int)})).To(g.Equal([]*os.File{f}))
		g.Expect(Files(new(int))).To(g.BeEmpty())
		g.Expect(Files(new(chan int))).To(g.BeEmpty())
	})

	It("are closed if there are too many or too few", func() {
		for sent := range 3 {
			b := mustEncode(&[]*os.File{files("a")[0], nil})
			for n := range 3 {
				if n == 1 {
					continue
				}
				writers, readers := pipes(n)
				var got []*os.File
				g.Expect(Decode(b, writers, &got)).To(g.Equal(errFiles), "%d", sent)
				g.Expect(got).To(g.BeNil())
				closed(readers)
			}
		}
	})

	It("are closed if the rest cannot be decoded", func() {
		b := mustEncode(&[]*os.File{files("a")[0], files("b")[0]})
		for cut := range len(b) {
			writers, readers := pipes(2)
			g.Expect(Decode(b[:cut], writers, new([]*os.File))).NotTo(g.Succeed())
			closed(readers)
		}
		writers, readers := pipes(2)
		g.Expect(Decode(b, writers, new(chan int))).NotTo(g.Succeed())
		closed(readers)
	})

	It("are closed if a method panics, or ends its goroutine", func() {
		for _, how := range []string{"panic", "goexit"} {
			value := struct {
				A *os.File
				B explosive
				C *os.File
			}{files("a")[0], explosive(how), files("c")[0]}
			b := mustEncode(&value)
			writers, readers := pipes(2)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				defer func() { _ = recover() }()
				_ = Decode(b, writers, &value)
			}()
			<-ended
			g.Expect(value.A).To(g.BeNil())
			closed(readers)
		}
	})

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
