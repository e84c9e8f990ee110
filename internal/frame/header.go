package frame

import (
	"encoding/binary"
	"math"
	"time"
)

// A Header is what a frame has beside its value.
type Header struct {
	Kind     Kind
	Queued   bool   // of a parameter: other calls come first, so it may be withdrawn
	Call     uint64 // which call it belongs to
	Deadline int64  // of a parameter: the context's, in nanoseconds since 1970; 0: none
	Types    uint64 // of a parameter: the hash of the function's types
	Files    uint32 // how many open files belong to the value; they have been sent before
}

// headerSize is that of an encoded Header and the length of what follows.
const headerSize = 1 + 1 + 8 + 8 + 8 + 4 + 8

// put encodes a header and the length of what follows.
func (h Header) put(b []byte, length int) {
	b[0], b[1] = byte(h.Kind), 0
	if h.Queued {
		b[1] = 1
	}
	order := binary.BigEndian
	order.PutUint64(b[2:], h.Call)
	order.PutUint64(b[10:], uint64(h.Deadline))
	order.PutUint64(b[18:], h.Types)
	order.PutUint32(b[26:], h.Files)
	order.PutUint64(b[30:], uint64(length))
}

// parseHeader decodes what put has encoded.
func parseHeader(b []byte) (h Header, length uint64) {
	order := binary.BigEndian
	return Header{
		Kind:     Kind(b[0]),
		Queued:   b[1] != 0,
		Call:     order.Uint64(b[2:]),
		Deadline: int64(order.Uint64(b[10:])),
		Types:    order.Uint64(b[18:]),
		Files:    order.Uint32(b[26:]),
	}, order.Uint64(b[30:])
}

// UnixNano returns the deadline of a context, as a Header has it: the nearest that there is, for
// one in a future so far that it has none.
func UnixNano(deadline time.Time, ok bool) int64 {
	switch {
	case !ok:
		return 0
	case deadline.After(latest):
		return math.MaxInt64
	}
	return deadline.UnixNano()
}

var latest = time.Unix(0, math.MaxInt64) // in the year 2262
