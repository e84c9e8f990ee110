package frame

import (
	"bufio"
	"io"
)

// maxAhead is how much memory, in bytes, a frame gets at the most before any of its
// bytes have arrived; then it gets as much again as has arrived. So no wrong length
// costs much.
const maxAhead = 128 << 20

// A Reader reads frames. If its source has a deadline that passes, it can go on later.
type Reader struct {
	Large func(length uint64) // called before a value of so many bytes is read, if not nil

	source *bufio.Reader
	next   Frame
	begun  bool   // its header has been read
	body   []byte // what has been read of the value
}

// NewReader returns a Reader.
func NewReader(source io.Reader) *Reader { return &Reader{source: bufio.NewReader(source)} }

// Next reads a frame, but for its files. An error that is no timeout means that there are
// no more: for both sides it makes no difference whether the other one has ended between
// two frames or within.
func (r *Reader) Next() (Frame, error) {
	if !r.begun {
		header, err := r.source.Peek(headerSize)
		if err != nil {
			return Frame{}, err
		}
		r.next = Frame{}
		r.next.Header, r.next.Length = parseHeader(header)
		_, _ = r.source.Discard(headerSize) // has been peeked at
		r.begun = true
		if r.Large != nil {
			r.Large(r.next.Length)
		}
	}
	for uint64(len(r.body)) < r.next.Length {
		if len(r.body) == cap(r.body) {
			more := min(r.next.Length-uint64(len(r.body)), uint64(max(len(r.body), maxAhead)))
			r.body = append(make([]byte, 0, len(r.body)+int(more)), r.body...)
		}
		n, err := r.source.Read(r.body[len(r.body):cap(r.body)])
		r.body = r.body[:len(r.body)+n]
		if err != nil {
			return Frame{}, err
		}
	}
	f := r.next
	f.Value = r.body
	r.begun, r.body = false, nil
	return f, nil
}
