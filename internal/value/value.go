// Package value encodes the values that functions and their callers exchange. Both are the same program, so
// both know the type of each value, and the encoding holds neither types nor names: only what is in the value,
// in the order of its type. All functions are safe for concurrent use.
//
// The same walk over a type (codec.go) decides what of its values travels, how, and what never can.
//
//	number               its memory; arrays and structs of nothing else, too
//	bool                 0 or 1
//	string               length, bytes
//	slice                0: nil; or length + 1, elements
//	map                  0: nil; or number of entries + 1, keys and elements
//	pointer              0: nil; or 1, what it points to
//	open file            0: nil; or 1, its name as a string; it is the next one of the descriptors
//	array, struct        elements, fields
//	interface            0: nil; or the number of a type (plain.go), a value of that type
//	encodes itself       0: nil slice or map; or length + 1, bytes
//
// Lengths are as [binary.PutUvarint] writes them. Each value takes at least a byte, and at least one for each
// 32 bytes of its memory: a struct with fields that do not travel, and what encodes itself, begin with as many zeros as
// that takes. So what a hostile peer sends takes memory in proportion to what has arrived.
package value

import (
	"errors"
	"os"
	"reflect"
)

const (
	// Large is how many bytes a string or a slice of bytes has at least whose memory is not copied.
	Large = 16 << 10

	// maxDepth is how deep pointers, slices and maps may be nested.
	maxDepth = 10_000
)

var (
	errDeep  = errors.New("value is nested deeper than 10,000 levels")
	errShort = errors.New("value is cut off")
	errLong  = errors.New("value is followed by something else")
	errByte  = errors.New("value of another type")
	errFiles = errors.New("open files that do not belong to the value")
)

// Check tells whether values of a type may hold open files. Its error is why they can never travel, and names the
// field that is to blame.
func Check(t reflect.Type) (files bool, err error) {
	c, err := codecOf(t)
	if err != nil {
		return false, err
	}
	return c.files, nil
}

// Encode appends the encoding of the value that pointer points to, to the last of the parts, of which there may be
// none, and adds more parts: the encoding is what they hold, one after the other. The files are the open files in the value, in the
// order in which the decoder needs them; they stay the caller's.
//
// Parts of [Large] or more bytes are the memory of strings and slices in the value, which must not be changed as long as
// the parts are in use, and never be written to. An error says why the value cannot travel. A panic is that of a method by which a type
// encodes itself.
func Encode(parts [][]byte, pointer any) (encoded [][]byte, files []*os.File, err error) {
	v := reflect.ValueOf(pointer).Elem()
	c, err := codecOf(v.Type())
	if err != nil {
		return nil, nil, err
	}
	var e encoder
	if n := len(parts); n > 0 {
		e.parts, e.b = parts[:n-1], parts[n-1]
	}
	if err := e.value(c, v); err != nil {
		return nil, nil, err
	}
	return append(e.parts, e.b), e.files, nil
}

// Files returns the open files in the value that pointer points to.
func Files(pointer any) []*os.File {
	v := reflect.ValueOf(pointer).Elem()
	c, err := codecOf(v.Type())
	if err != nil || !c.files {
		return nil
	}
	e := encoder{only: true}
	_ = e.value(c, v) // what is too deep cannot be encoded either
	return e.files
}

// Decode decodes b into what pointer points to, whatever that has held before. The descriptors are those of the
// files that [Encode] has returned. They are Decode's, which makes open files of them, with the names that they had: after an error, and
// after a panic of a method by which a type decodes itself, all are closed, and the value is zero.
//
// The value may share the memory of b, which must not be changed then. It does not if b has less than
// [Large] bytes.
func Decode(b []byte, descriptors []int, pointer any) (err error) {
	v := reflect.ValueOf(pointer).Elem()
	v.SetZero()
	d := decoder{b: b, size: len(b), descriptors: descriptors}
	decoded := false
	defer func() {
		if !decoded {
			d.close()
			v.SetZero()
		}
	}()
	c, err := codecOf(v.Type())
	if err == nil {
		err = d.all(c, v)
	}
	decoded = err == nil
	return err
}
