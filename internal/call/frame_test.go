package call

import (
	"bytes"
	"io"
	"os"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

// mustEncode returns a frame, which says that it has more files than its value.
func mustEncode(h header, value any, more int) []byte {
	o, err := encode(h, specs.Pointer(value))
	if err != nil {
		panic(err)
	}
	h = parseHeader(o.parts[0])
	h.files += uint32(more)
	h.put(o.parts[0])
	return bytes.Join(o.parts, nil)
}

// A slowPipe holds so many bytes at a time, and is empty every other time.
type slowPipe struct {
	b     []byte
	some  int
	empty bool
}

func (p *slowPipe) Read(b []byte) (int, error) {
	if p.empty = !p.empty; p.empty {
		return 0, syscall.EAGAIN
	}
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.some)], p.b)
	p.b = p.b[n:]
	return n, nil
}

// feed returns the frames that bytes make, of which a pipe holds some at a time.
func feed(b []byte, some int) (frames []Frame) {
	in := newIncoming(&slowPipe{b: b, some: some})
	for {
		switch f, err := in.read(); err {
		case nil:
			frames = append(frames, f)
		case io.EOF:
			return frames
		}
	}
}

// read reads a single frame.
func read(encoded []byte) Frame {
	GinkgoHelper()
	frames := feed(encoded, len(encoded))
	g.Expect(frames).To(g.HaveLen(1))
	return frames[0]
}

var _ = Describe("a frame", func() {
	It("may have no value", func() {
		f := read(mustEncode(header{Kind: ready}, nil, 0))
		g.Expect(f.header).To(g.Equal(header{Kind: ready}))
		g.Expect(f.value).To(g.BeEmpty())
	})

	It("of a call can be given to another", func() {
		o := specs.OK(encode(header{Kind: called, call: 1, extra: 5}, new(int)))
		o.number(7)
		g.Expect(read(o.parts[0]).header).To(g.Equal(header{Kind: called, call: 7, extra: 5, size: 8}))
	})

	It("cannot hold what cannot travel", func() {
		_, err := encode(header{}, new(func()))
		g.Expect(err).To(g.MatchError("func() cannot travel"))
	})

	It("is made in memory that was used before, unless that is large", func() {
		for _, size := range []int{10, 2 * maxReused, 1 << 20, 10} { // one that is copied, and one that is not
			o := specs.OK(encode(header{call: 3}, specs.Pointer([]string{strings.Repeat("x", size/2), strings.Repeat("y", size/2)})))
			g.Expect(o.files).To(g.BeEmpty())
			var got []string
			f := read(bytes.Join(o.parts, nil))
			g.Expect(f.Decode(&got)).To(g.Succeed())
			g.Expect(got[1]).To(g.Equal(strings.Repeat("y", size/2)))
			o.free()
		}
	})

	It("is none before its end", func() {
		encoded := mustEncode(header{Kind: Result}, "value", 0)
		for n := range encoded {
			g.Expect(feed(encoded[:n], n)).To(g.BeEmpty())
		}
	})

	It("costs memory in proportion to what has arrived", func() {
		b := make([]byte, headerSize+atOnce+1)
		header{Kind: Result, size: 1 << 62}.put(b)
		for n, expected := range map[int]int{headerSize: atOnce, headerSize + atOnce - 1: atOnce, headerSize + atOnce + 1: 2 * atOnce} {
			in := newIncoming(bytes.NewReader(b[:n]))
			_, err := in.read()
			g.Expect(err).To(g.Equal(io.EOF))
			g.Expect(cap(in.next.value)).To(g.Equal(expected))
		}
	})

	DescribeTable("that makes no sense", func(encoded []byte, receive func(f *Frame), matcher any) {
		f := read(encoded)
		receive(&f)
		g.Expect(f.Decode(new([]*os.File))).To(g.MatchError(matcher))
	},
		Entry("no value", make([]byte, headerSize), func(*Frame) {}, "bytes or open files that are not those of a value of this type"),
		Entry("another value", append(make([]byte, headerSize-1), 1, 7), func(*Frame) {}, "bytes or open files that are not those of a value of this type"),
		Entry("files that are not there", mustEncode(header{}, []*os.File{os.Stdin}, 0), func(f *Frame) {}, "bytes or open files that are not those of a value of this type"),
		Entry("files that were lost", mustEncode(header{}, []*os.File{os.Stdin}, 0), func(f *Frame) { f.lost = syscall.EMFILE }, syscall.EMFILE),
	)
})
