// Package value encodes the values that functions and their callers exchange. Both are the same program, so
// both know the type of each value, and the encoding holds neither types nor names: only what is in the value,
// in the order of its type. All functions are safe for concurrent use.
//
// A [codec] says of a type how its values are encoded, or that they cannot be:
//
//	number            its memory, and so an array of numbers
//	bool              0 or 1
//	string            length, bytes
//	slice             length, elements
//	map               number of entries, for each its key and its element
//	pointer           what it points to
//	open file         its name as a string; it is the next one of the descriptors
//	array, struct     elements, fields
//	interface         0: nil; or the number of a type (see dynamics), a value of that type
//	encodes itself    length, bytes
//
// A slice, a map or a pointer, also one that encodes itself, begins with 0 if it is nil, and with 1 before the rest if not. Lengths, numbers of
// something, 0 and 1 are as [binary.PutUvarint] writes them. Each value takes a byte at least, also one without memory.
package value

import (
	"cmp"
	"encoding/binary"
	"errors"
	"os"
	"reflect"
)

// Large is the least number of bytes of a string or a []byte that is not copied.
const Large = 16 << 10

// Encode encodes the value that pointer points to. It appends the encoding to the last of the parts, which must not be empty, and may
// add parts; joined, they are the encoding. The files are the open files in the value, in the order in which the decoder needs
// them. They still belong to the caller.
//
// Parts of [Large] bytes or more may be the memory of strings and slices in the value. So they must not be written
// to, and the value must not be changed while they are in use.
//
// An error says why the value cannot travel. A panic is that of a method by which a type encodes itself.
func Encode(parts [][]byte, pointer any) (encoded [][]byte, files []*os.File, err error) {
	last := len(parts) - 1
	x := coder{parts: parts[:last], b: parts[last]}
	x.all(reflect.ValueOf(pointer).Elem())
	return append(x.parts, x.b), x.files, x.err
}

// Files returns the open files in the value that pointer points to.
func Files(pointer any) []*os.File {
	x := coder{only: true}
	x.all(reflect.ValueOf(pointer).Elem()) // after an error, the files that were found so far
	return x.files
}

// Decode decodes b into what pointer points to, whatever that has held before. The descriptors are those of the files that
// [Encode] has returned. They belong to Decode, which makes open files of them, with the names that they had. After an
// error, or a panic of a method by which a type decodes itself, all of them are closed, and the value is zero.
//
// Strings and slices of [Large] bytes or more may share the memory of b, which must not be changed then. The memory for a value is in
// proportion to b, whatever it says: see [maxRatio].
func Decode(b []byte, descriptors []int, pointer any) error {
	v := reflect.ValueOf(pointer).Elem()
	v.SetZero()
	x := coder{decodes: true, b: b, size: len(b), memory: maxRatio*uint64(len(b)) + someMore, descriptors: descriptors}
	done := false
	defer func() {
		if done {
			return
		}
		for _, fd := range x.descriptors {
			x.files = append(x.files, os.NewFile(uintptr(fd), ""))
		}
		for _, f := range x.files {
			_ = f.Close()
		}
		v.SetZero()
	}()
	x.all(v)
	if len(x.b) > 0 || len(x.descriptors) > 0 {
		x.fail(errBytes)
	}
	done = x.err == nil
	return x.err
}

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
