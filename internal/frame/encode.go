package frame

import (
	"bytes"
	"io"
	"os"
	"sync"

	"example.com/gons/reexec/internal/value"
)

// An Encoded is a frame that is to be written.
type Encoded struct {
	Files []*os.File // the open files in the value, which are sent before

	header Header
	parts  [][]byte // one after the other; the first begins with the header
}

// encodeds are used again, with the memory of their first part.
var encodeds = sync.Pool{New: func() any { return &Encoded{parts: [][]byte{make([]byte, headerSize, 128)}} }}

// Encode encodes the value that pointer points to as a frame. If pointer is nil, there is no value. Large strings and
// slices of bytes are not copied: the value must not be changed before the frame is written, or [Encoded.Detach] returns.
func Encode(h Header, pointer any) (*Encoded, error) {
	e := encodeds.Get().(*Encoded)
	e.parts = append(e.parts[:0], e.parts[0][:headerSize])
	e.header, e.Files = h, nil
	if pointer != nil {
		var err error
		if e.parts, e.Files, err = value.Encode(e.parts, pointer); err != nil {
			return nil, err
		}
		e.header.Files = uint32(len(e.Files))
	}
	e.put()
	return e, nil
}

func (e *Encoded) put() { e.header.put(e.parts[0], e.Len()-headerSize) }

// MustEncode encodes what can be encoded for sure.
func MustEncode(h Header, pointer any) *Encoded {
	e, err := Encode(h, pointer)
	if err != nil {
		panic(err)
	}
	return e
}

// SetCall changes the call, and whether it is queued.
func (e *Encoded) SetCall(call uint64, queued bool) {
	e.header.Call, e.header.Queued = call, queued
	e.put()
}

// Len is how many bytes the frame has.
func (e *Encoded) Len() (n int) {
	for _, part := range e.parts {
		n += len(part)
	}
	return n
}

// Detach copies what the frame shares with the value.
func (e *Encoded) Detach() {
	if len(e.parts) > 1 {
		e.parts = [][]byte{bytes.Join(e.parts, nil)}
	}
}

// Bytes is the frame, detached. It is good until Free.
func (e *Encoded) Bytes() []byte {
	e.Detach()
	return e.parts[0]
}

// WriteTo writes the frame: in one piece, so that its reader is woken up just once, unless it has large parts.
func (e *Encoded) WriteTo(w io.Writer) (n int64, err error) {
	for _, part := range e.parts {
		if len(part) == 0 {
			continue
		}
		var written int
		written, err = w.Write(part)
		if n += int64(written); err != nil {
			break
		}
	}
	return n, err
}

// Free lets others use the frame's memory. Large buffers are not pooled.
func (e *Encoded) Free() {
	e.Files = nil
	clear(e.parts[1:])
	if cap(e.parts[0]) <= maxPooled {
		encodeds.Put(e)
	}
}

// maxPooled is the most memory, in bytes, that is used again.
const maxPooled = 16 << 10
