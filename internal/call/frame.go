package call

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"sync"

	"example.com/gons/reexec/internal/sys"
	"example.com/gons/reexec/internal/value"
)

// Parent and child talk in frames. Those of calls go by the child's stdin, answers by a pipe of their own. A socket beside
// them carries the open files of both, each time before the frame with the value that they are in, and what the child has
// to know at once. The end of the socket means that the parent has ended.
//
//	parent → child   stdin    Call(n, deadline, parameter)
//	                 socket   Cancel(n, cause)    the context of call n has ended
//	                          Dump(n)             where are all goroutines?
//	                          Closing             no more calls come, those that are served may end
//	                          Files(n)            open files of the parameter of call n
//	child → parent   pipe     Ready               it is in its namespaces and serves many calls
//	                          Refused(text)       it cannot serve, and ends
//	                          Event(n, event)     more are to come
//	                          Ended(text)         a signal ends it, which its status does not tell
//	                          Result(n, result)   the last answer to a call; so are the next four
//	                          Failed(n, failure)  the function has returned an error
//	                          Unread(n, failure)  the parameter could not be decoded
//	                          Unserved(n, failure) an answer could not be sent
//	                          Panicked(n, panic)  and the child ends
//	                          Stack(n, text)      what Dump has asked for
//	                 socket   Files(n)            open files of an answer to call n
type Kind byte

// Kinds of frames. Those that are exported answer a call, but for Refused and Ended.
const (
	called  Kind = 'C'
	cancel  Kind = 'X'
	dump    Kind = 'D'
	closing Kind = 'L'
	files   Kind = 'f'

	ready    Kind = 'Y'
	Refused  Kind = 'N'
	Ended    Kind = 'G'
	Event    Kind = 'E'
	Result   Kind = 'R'
	Failed   Kind = 'F'
	Unread   Kind = 'B'
	Unserved Kind = 'U'
	Panicked Kind = 'P'
	stack    Kind = 'S'
)

// A header precedes the value of a frame.
type header struct {
	Kind  Kind
	call  uint64
	extra int64  // of Call: the deadline in nanoseconds since 1970, or 0; of Cancel: 1 for a deadline; of an answer: the hash of the types
	files uint32 // open files of the value; in Files those of this message
	size  uint64 // of the value, in bytes
}

const headerSize = 1 + 8 + 8 + 4 + 8

func (h header) put(b []byte) {
	order := binary.BigEndian
	b[0] = byte(h.Kind)
	order.PutUint64(b[1:], h.call)
	order.PutUint64(b[9:], uint64(h.extra))
	order.PutUint32(b[17:], h.files)
	order.PutUint64(b[21:], h.size)
}

func parseHeader(b []byte) header {
	order := binary.BigEndian
	return header{
		Kind:  Kind(b[0]),
		call:  order.Uint64(b[1:]),
		extra: int64(order.Uint64(b[9:])),
		files: order.Uint32(b[17:]),
		size:  order.Uint64(b[21:]),
	}
}

// A Frame is one that has been read.
type Frame struct {
	header
	Relay error // of an answer that [Worker.Call] returns: why what the child has printed could not be passed on

	value []byte
	open  []int // descriptors of its open files
	lost  error // why some are missing
}

// Decode decodes the value of a frame, which is consumed: its open files are those of the value, or are closed.
func (f *Frame) Decode(pointer any) error {
	open := f.open
	f.open = nil
	if f.lost != nil {
		sys.CloseDescriptors(open)
		return f.lost
	}
	return value.Decode(f.value, open, pointer)
}

// Close closes the open files of a frame that is not decoded.
func (f *Frame) Close() {
	sys.CloseDescriptors(f.open)
	f.open = nil
}

// An outgoing is a frame that is to be written.
type outgoing struct {
	sys.Writing
	parts [][]byte   // the header is at the beginning of the first one
	files []*os.File // those of the value
}

// outgoings are reused, since most frames are small.
var outgoings = sync.Pool{New: func() any { return new(outgoing) }}

// encode makes a frame of the value that pointer points to, or, if pointer is nil, without a value.
func encode(h header, pointer any) (*outgoing, error) {
	o := outgoings.Get().(*outgoing)
	if len(o.parts) == 0 {
		o.parts = [][]byte{make([]byte, 0, 512)}
	}
	o.parts[0] = append(o.parts[0][:0], make([]byte, headerSize)...)
	if pointer != nil {
		parts, files, err := value.Encode(o.parts[:1], pointer)
		if err != nil {
			return nil, err
		}
		o.parts, o.files = parts, files
	}
	h.files += uint32(len(o.files))
	h.size = uint64(o.size() - headerSize)
	h.put(o.parts[0])
	return o, nil
}

// number sets the call of a frame.
func (o *outgoing) number(call uint64) { binary.BigEndian.PutUint64(o.parts[0][1:], call) }

// size is how many bytes a frame has.
func (o *outgoing) size() (n int) {
	for _, part := range o.parts {
		n += len(part)
	}
	return n
}

// free gives the memory of a frame back once it is written. Large frames are not reused.
func (o *outgoing) free() {
	if len(o.parts) == 1 && cap(o.parts[0]) <= maxReused {
		o.files = nil
		outgoings.Put(o)
	}
}

const maxReused = 16 << 10 // bytes

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
