package frame

import (
	"bytes"
	"encoding/json"
	"os"
	"sync"
)

// An Encoded is a frame that is to be written, in one piece: that takes one system call, and so its
// reader is woken up just once.
type Encoded struct {
	header Header
	buffer bytes.Buffer
	json   *json.Encoder
}

// encodeds are used again, since most frames are so small that to make an encoder takes longer than to
// use it.
var encodeds = sync.Pool{New: func() any {
	e := &Encoded{}
	e.json = json.NewEncoder(&e.buffer)
	return e
}}

// Encode encodes a value as a frame. The files are those in the value.
func Encode(h Header, value any, files []*os.File) (*Encoded, error) {
	e := encodeds.Get().(*Encoded)
	e.buffer.Reset()
	e.buffer.Write(make([]byte, headerSize))
	if h.Files = uint32(len(files)); h.Files > 0 {
		names := make([][]byte, len(files)) // not everything is UTF-8
		for i, f := range files {
			names[i] = []byte(f.Name())
		}
		if err := e.json.Encode(names); err != nil {
			return nil, err
		}
	}
	if err := e.json.Encode(value); err != nil {
		return nil, err
	}
	e.header = h
	e.put()
	return e, nil
}

func (e *Encoded) put() { e.header.put(e.buffer.Bytes(), e.buffer.Len()-headerSize) }

// MustEncode encodes what can be encoded for sure.
func MustEncode(h Header, value any) *Encoded {
	e, err := Encode(h, value, nil)
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

// Bytes is the frame. It is good until Free.
func (e *Encoded) Bytes() []byte { return e.buffer.Bytes() }

// Free lets others use its memory; whoever does not is just slower. Large memory is none to be kept.
func (e *Encoded) Free() {
	if e.buffer.Cap() <= maxPooled {
		encodeds.Put(e)
	}
}

// maxPooled is the most memory, in bytes, that is used again.
const maxPooled = 16 << 10
