package frame

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing/iotest"
	"time"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

// hesitant reads a few bytes at a time, each time after a deadline has passed.
type hesitant struct {
	io.Reader
	some    int
	awake   bool
	timeout int
}

func (h *hesitant) Read(b []byte) (int, error) {
	if h.awake = !h.awake; h.awake {
		h.timeout++
		return 0, fmt.Errorf("read: %w", os.ErrDeadlineExceeded)
	}
	return h.Reader.Read(b[:min(len(b), h.some)])
}

// mustEncode encodes a value that has no files.
func mustEncode(h Header, value any) []byte {
	GinkgoHelper()
	encoded, err := Encode(h, specs.Pointer(value))
	g.Expect(err).NotTo(g.HaveOccurred())
	return encoded.Bytes()
}

// read reads a single frame.
func read(encoded []byte) Frame {
	GinkgoHelper()
	f, err := NewReader(bytes.NewReader(encoded)).Next()
	g.Expect(err).NotTo(g.HaveOccurred())
	return f
}

var _ = Describe("a frame", func() {

	DescribeTable("arrives as it was sent", func(h Header) {
		f := read(mustEncode(h, []string{"a", "b\n"}))
		g.Expect(f.Header).To(g.Equal(h))
		var value []string
		g.Expect(f.Decode(&value)).To(g.Succeed())
		g.Expect(value).To(g.Equal([]string{"a", "b\n"}))
	},
		Entry("with nothing else", Header{Kind: Result}),
		Entry("with all there is", Header{Kind: Param, Queued: true, Call: 1<<64 - 1, Deadline: 1<<63 - 1, Types: 1<<64 - 1}),
		Entry("with a deadline of long ago", Header{Kind: Param, Call: 1 << 32, Deadline: -1}),
	)

	It("of a call can be given to another", func() {
		encoded := MustEncode(Header{Kind: Param, Call: 1, Queued: true, Deadline: 5}, new(int))
		encoded.SetCall(7, false)
		g.Expect(read(encoded.Bytes()).Header).To(g.Equal(Header{Kind: Param, Call: 7, Deadline: 5}))
		encoded.SetCall(8, true)
		g.Expect(read(encoded.Bytes()).Header).To(g.Equal(Header{Kind: Param, Call: 8, Queued: true, Deadline: 5}))
	})

	It("takes the time of a deadline", func() {
		g.Expect(UnixNano(time.Time{}, false)).To(g.BeZero())
		g.Expect(UnixNano(time.Unix(1, 2), true)).To(g.Equal(int64(1e9 + 2)))
	})

	It("cannot hold what cannot travel", func() {
		_, err := Encode(Header{}, new(func()))
		g.Expect(err).To(g.MatchError("func() cannot travel"))
		g.Expect(func() { MustEncode(Header{}, new(func())) }).To(g.PanicWith(g.MatchError("func() cannot travel")))
	})

	It("shares the memory of a large value until it is detached", func() {
		for _, detached := range []bool{false, true} {
			value := bytes.Repeat([]byte("a"), 1<<20)
			encoded := MustEncode(Header{Kind: Result}, &value)
			if detached {
				encoded.Detach()
			}
			value[1<<19] = 'b'
			var b bytes.Buffer
			g.Expect(encoded.WriteTo(&b)).To(g.BeEquivalentTo(encoded.Len()))
			var got []byte
			f := read(b.Bytes())
			g.Expect(f.Decode(&got)).To(g.Succeed())
			g.Expect(bytes.Equal(got, value)).To(g.Equal(!detached))
			encoded.Free()
		}
	})

	It("ends where it cannot be written", func() {
		value := bytes.Repeat([]byte("a"), 1<<20)
		_, err := MustEncode(Header{}, &value).WriteTo(&limited{n: 1 << 10})
		g.Expect(err).To(g.Equal(io.ErrShortWrite))
	})

	DescribeTable("is read in pieces", func(some int, size int) {
		value := strings.Repeat("x", size)
		encoded := mustEncode(Header{Kind: Event, Call: 3}, value)
		h := &hesitant{Reader: bytes.NewReader(append(encoded, encoded...)), some: some}
		var lengths []uint64
		r := NewReader(h)
		r.Large = func(length uint64) { lengths = append(lengths, length) }
		timeouts := 0
		for range 2 {
			for {
				f, err := r.Next()
				if errors.Is(err, os.ErrDeadlineExceeded) {
					timeouts++
					continue
				}
				g.Expect(err).NotTo(g.HaveOccurred())
				g.Expect(f.Call).To(g.Equal(uint64(3)))
				var got string
				g.Expect(f.Decode(&got)).To(g.Succeed())
				g.Expect(got).To(g.Equal(value))
				break
			}
		}
		length := uint64(len(encoded) - headerSize)
		g.Expect(lengths).To(g.Equal([]uint64{length, length}), "each is told once")
		g.Expect(timeouts).To(g.Equal(h.timeout), "none of them is kept, none is lost")
		h.awake = true
		_, err := r.Next()
		g.Expect(err).To(g.Equal(io.EOF))
	},
		Entry("a byte at a time", 1, 100),
		Entry("header and value apart", headerSize, 100),
		Entry("both at a time", 1000, 100),
		Entry("a large one", 10_000, 100_000),
	)

	It("has an end, in it or not", func() {
		encoded := mustEncode(Header{Kind: Result}, "value")
		for n := range encoded {
			_, err := NewReader(iotest.DataErrReader(bytes.NewReader(encoded[:n]))).Next()
			g.Expect(err).To(g.Equal(io.EOF), "after %d bytes", n)
		}
	})

	It("costs no memory that has not been sent for", func() {
		encoded := mustEncode(Header{Kind: Result}, "value")
		copy(encoded[30:], "\xff\xff\xff\xff\xff\xff\xff\xff")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := NewReader(bytes.NewReader(encoded)).Next()
		runtime.ReadMemStats(&after)
		g.Expect(err).To(g.Equal(io.EOF))
		g.Expect(after.TotalAlloc - before.TotalAlloc).To(g.BeNumerically("<", maxAhead*5/4))
	})

	It("may be larger than what is read ahead", func() {
		encoded := mustEncode(Header{Kind: Result}, bytes.Repeat([]byte("."), maxAhead*4/3))
		g.Expect(len(encoded)).To(g.BeNumerically(">", maxAhead*5/4))
		g.Expect(bytes.Equal(read(encoded).Value, encoded[headerSize:])).To(g.BeTrue())
	})

	DescribeTable("that makes no sense", func(encoded []byte, receive func(f *Frame), matcher any) {
		f, err := NewReader(bytes.NewReader(encoded)).Next()
		if err == nil {
			receive(&f)
			err = f.Decode(new([]*os.File))
		}
		g.Expect(err).To(g.MatchError(matcher))
	},
		Entry("no value", make([]byte, headerSize), func(*Frame) {}, "bytes that are not those of a value of this type"),
		Entry("another value", append(make([]byte, headerSize-1), 1, 7), func(*Frame) {}, "bytes that are not those of a value of this type"),
		Entry("files that are not sent", withFiles(1, 1), func(f *Frame) {}, "open files that do not belong to the value"),
		Entry("less files than it says", withFiles(2, 2), func(f *Frame) { f.Receive(nil, nil) }, errFiles),
		Entry("less files than there are places", withFiles(0, 2), func(f *Frame) { f.Receive(nil, nil) }, "open files that do not belong to the value"),
		Entry("files that were lost", withFiles(1, 1), func(f *Frame) { f.Receive(nil, errNoRoom) }, syscall.EMFILE),
	)

})

// withFiles returns a frame that says that it has so many files, and places for them.
func withFiles(says, places int) []byte {
	files := make([]*os.File, places)
	for i := range files {
		files[i] = os.Stdin
	}
	b := MustEncode(Header{Kind: Result}, &files).Bytes()
	Header{Kind: Result, Files: uint32(says)}.put(b, len(b)-headerSize)
	return b
}

// A limited writer takes so many bytes.
type limited struct{ n int }

func (l *limited) Write(b []byte) (int, error) {
	if len(b) > l.n {
		return l.n, io.ErrShortWrite
	}
	l.n -= len(b)
	return len(b), nil
}

// An aliasOfErrno says by itself which errno it is.
type aliasOfErrno struct{ error }

func (aliasOfErrno) As(target any) bool {
	errno, ok := target.(*syscall.Errno)
	if ok {
		*errno = syscall.EXDEV
	}
	return ok
}

func (e aliasOfErrno) Unwrap() error { return e.error }

var _ = DescribeTable("what travels of an error", func(err error, failure Failure, causes ...error) {
	f := read(mustEncode(Header{Kind: Failed}, NewFailure("what: ", err)))
	var got Failure
	g.Expect(f.Decode(&got)).To(g.Succeed())
	failure.Message = "what: " + err.Error()
	g.Expect(got).To(g.Equal(failure))
	g.Expect(slices.Equal(got.Causes(), causes)).To(g.BeTrue(), "%v", got.Causes())
},
	Entry("its text", errors.New("no"), Failure{}),
	Entry("an errno", &fs.PathError{Op: "open", Path: "/", Err: syscall.ENOENT},
		Failure{Errnos: []syscall.Errno{syscall.ENOENT}}, syscall.ENOENT),
	Entry("many", errors.Join(fmt.Errorf("%w", syscall.EIO), errors.New("no"), aliasOfErrno{errors.Join(syscall.EPERM)}),
		Failure{Errnos: []syscall.Errno{syscall.EIO, syscall.EXDEV, syscall.EPERM}}, syscall.EIO, syscall.EXDEV, syscall.EPERM),
	Entry("cancelled", fmt.Errorf("oh: %w", context.Canceled), Failure{Is: []int{1}}, context.Canceled),
	Entry("too late", context.DeadlineExceeded, Failure{Is: []int{0}}, context.DeadlineExceeded),
	Entry("closed", os.ErrClosed, Failure{Is: []int{6}}, os.ErrClosed),
	Entry("not there, without an errno", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}, Failure{Is: []int{5}}, fs.ErrNotExist),
	Entry("everything", errors.Join(os.ErrClosed, context.Canceled, context.DeadlineExceeded, syscall.EINTR),
		Failure{Errnos: []syscall.Errno{syscall.EINTR}, Is: []int{0, 1, 6}},
		syscall.EINTR, context.DeadlineExceeded, context.Canceled, os.ErrClosed),
)
