package value

import (
	"cmp"
	"encoding/binary"
	"errors"
	"os"
	"reflect"
)

// A coder encodes or decodes one value. What it does to a part of the value stands in one place for both directions. After
// an error it does nothing.
type coder struct {
	decodes bool
	b       []byte // the last part of what is encoded, or what has not been decoded yet
	files   []*os.File
	err     error

	parts [][]byte   // of an encoder: those that are complete
	only  bool       // nothing but the files is wanted
	mark  [3]uintptr // see deeper

	size        int    // of a decoder: how many bytes there were
	memory      uint64 // how many the value may still take
	descriptors []int  // those that are not files yet

	depth int
}

// A decoded value may take maxRatio times the bytes of its encoding, and someMore. A slice of empty strings takes 16 times as many, and a
// struct may have large fields that do not travel. Pointers, slices and maps may be nested maxDepth deep.
const maxRatio, someMore, maxDepth = 128, 1 << 20, 10_000

var (
	errDeep   = errors.New("value is nested deeper than 10,000 levels")
	errItself = errors.New("value contains itself")
	errBytes  = errors.New("bytes or open files that are not those of a value of this type")
	errMemory = errors.New("value takes more memory than may be for so few bytes")
	errKeys   = errors.New("map with keys that their own encoding does not tell apart")
)

// all encodes or decodes a value of any type.
func (x *coder) all(v reflect.Value) { x.value(codecOf(v.Type()), v) }

func (x *coder) fail(err error) {
	x.err, x.b = cmp.Or(x.err, err), nil
}

// number encodes n, or decodes a number.
func (x *coder) number(n uint64) uint64 {
	if !x.decodes {
		x.b = binary.AppendUvarint(x.b, n)
		return n
	}
	n, size := binary.Uvarint(x.b)
	if size <= 0 {
		x.fail(errBytes)
		return 0
	}
	x.b = x.b[size:]
	return n
}

func (x *coder) bool(yes bool) bool {
	n := uint64(0)
	if yes {
		n = 1
	}
	return x.number(n) > 0
}

// take returns the next n bytes of a decoder, or fails.
func (x *coder) take(n uint64) (b []byte) {
	if n > uint64(len(x.b)) {
		x.fail(errBytes)
		return nil
	}
	b, x.b = x.b[:n:n], x.b[n:]
	return b
}

// bytes encodes b, or decodes bytes. It does not copy large ones, unless they are a small part of what is decoded.
func (x *coder) bytes(b []byte) []byte {
	n := x.number(uint64(len(b)))
	switch {
	case x.decodes:
		b = x.take(n)
		if len(b) >= Large && len(b) > x.size/2 {
			return b
		}
		return append([]byte{}, b...)
	case len(b) < Large:
		x.b = append(x.b, b...)
	default:
		end := len(x.b)
		x.parts = append(x.parts, x.b[:end:end], b)
		x.b = x.b[end:]
	}
	return nil
}
