package call

import (
	"bufio"
	"io"
)

// An incoming reads frames.
type incoming struct {
	from  *bufio.Reader
	begun bool  // the header of next has been read
	next  Frame // as far as it has arrived
}

const (
	bufferSize = 16 << 10 // bytes

	// atOnce is how many bytes a value may take before any of them has arrived.
	atOnce = 128 << 20
)

func newIncoming(from io.Reader) incoming {
	return incoming{from: bufio.NewReaderSize(from, bufferSize)}
}

// read reads the next frame. An error is the reader's. After one, read can be called again: it goes on where it was.
func (in *incoming) read() (Frame, error) {
	if !in.begun {
		b, err := in.from.Peek(headerSize)
		if err != nil {
			return Frame{}, err
		}
		in.next, in.begun = Frame{header: parseHeader(b)}, true
		_, _ = in.from.Discard(headerSize)
		in.next.value = make([]byte, 0, min(in.next.size, atOnce))
	}
	for v := &in.next.value; uint64(len(*v)) < in.next.size; {
		if len(*v) == cap(*v) {
			more := min(in.next.size-uint64(len(*v)), uint64(len(*v)))
			*v = append(make([]byte, 0, len(*v)+int(more)), *v...)
		}
		n, err := in.from.Read((*v)[len(*v):cap(*v)])
		*v = (*v)[:len(*v)+n]
		if err != nil {
			return Frame{}, err
		}
	}
	f := in.next
	in.next, in.begun = Frame{}, false
	return f, nil
}
