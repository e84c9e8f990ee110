package value

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"unsafe"
)

// An encoder encodes one value.
type encoder struct {
	parts [][]byte // those that are complete
	b     []byte   // the last part
	files []*os.File
	only  bool // nothing but the files is wanted

	depth  int
	within map[reference]bool // those beyond suspicious that are being encoded
}

// suspicious is the depth from which on it is worth looking whether a value contains itself: so it is noticed before
// what comes along has taken much memory.
const suspicious = 100

// A reference is a pointer, slice or map.
type reference struct {
	codec  *codec
	to     unsafe.Pointer
	length int
}

// value encodes a value, which is addressable.
func (e *encoder) value(c *codec, v reflect.Value) error {
	if e.only && !c.files {
		return nil
	}
	e.b = append(e.b, make([]byte, c.pad)...)
	switch c.kind {
	case plain:
		e.b = append(e.b, unsafe.Slice((*byte)(unsafe.Pointer(v.UnsafeAddr())), c.least)...)
	case empty:
		e.b = append(e.b, 0)
	case boolean:
		e.exists(v.Bool())
	case text:
		s := v.String()
		e.length(len(s))
		e.bytes(unsafe.Slice(unsafe.StringData(s), len(s)))
	case slice, pointer, mapping:
		switch {
		case v.IsNil():
			e.b = append(e.b, 0)
		case c.kind == slice && c.elem.kind == plain:
			e.length(v.Len() + 1)
			e.bytes(unsafe.Slice((*byte)(v.UnsafePointer()), v.Len()*c.elem.least))
		default:
			return e.nested(c, v)
		}
	case array:
		return e.elements(c, v)
	case structure:
		return e.structure(c, v)
	case dynamic:
		return e.dynamic(v)
	case file:
		return e.file((*os.File)(v.UnsafePointer()))
	case itself:
		return e.itself(c, v)
	}
	return nil
}

func (e *encoder) length(n int) { e.b = binary.AppendUvarint(e.b, uint64(n)) }

func (e *encoder) exists(yes bool) {
	if yes {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) bytes(b []byte) {
	if len(b) < Large {
		e.b = append(e.b, b...)
		return
	}
	n := len(e.b)
	e.parts = append(e.parts, e.b[:n:n], b[:len(b):len(b)])
	e.b = e.b[n:]
}

// nested encodes what a pointer, a slice or a map holds, which may be the same again.
func (e *encoder) nested(c *codec, v reflect.Value) (err error) {
	if e.depth++; e.depth > maxDepth {
		return errDeep
	}
	defer func() { e.depth-- }()
	if e.depth > suspicious {
		here := reference{codec: c, to: v.UnsafePointer()}
		if c.kind != pointer {
			here.length = v.Len()
		}
		if e.within[here] {
			return errItself
		}
		if e.within == nil {
			e.within = map[reference]bool{}
		}
		e.within[here] = true
		defer delete(e.within, here)
	}
	switch c.kind {
	case pointer:
		e.exists(true)
		return e.value(c.elem, v.Elem())
	case slice:
		e.length(v.Len() + 1)
		return e.elements(c, v)
	}
	e.length(v.Len() + 1)
	key, elem := reflect.New(c.key.t).Elem(), reflect.New(c.elem.t).Elem()
	for entries := v.MapRange(); err == nil && entries.Next(); {
		key.SetIterKey(entries)
		elem.SetIterValue(entries)
		if err = e.value(c.key, key); err == nil {
			err = e.value(c.elem, elem)
		}
	}
	return err
}

// elements encodes the elements of a slice or an array.
func (e *encoder) elements(c *codec, v reflect.Value) error {
	for i := range v.Len() {
		if err := e.value(c.elem, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) structure(c *codec, v reflect.Value) error {
	for i := range c.fields {
		f := &c.fields[i]
		if err := e.value(f.codec, f.of(v)); err != nil {
			return err
		}
	}
	return nil
}

// of returns the field of a struct, even if it is embedded and its type is not exported.
func (f *field) of(v reflect.Value) reflect.Value {
	v = v.Field(f.index)
	if !f.exported {
		return reflect.NewAt(f.codec.t, unsafe.Pointer(v.UnsafeAddr())).Elem()
	}
	return v
}

// dynamic encodes an interface.
func (e *encoder) dynamic(v reflect.Value) error {
	if v.IsNil() {
		e.b = append(e.b, 0)
		return nil
	}
	v = v.Elem()
	n := numberOf(v.Type())
	if n == none {
		return fmt.Errorf("%s in an interface cannot travel, %w", v.Type(), errDynamic)
	}
	c, err := codecOf(v.Type())
	if err != nil {
		return err
	}
	e.b = append(e.b, byte(n))
	addressable := reflect.New(c.t).Elem()
	addressable.Set(v)
	return e.value(c, addressable)
}

func (e *encoder) file(f *os.File) error {
	e.exists(f != nil)
	switch {
	case f == nil:
		return nil
	case *f == os.File{}:
		return fmt.Errorf("an os.File that was never opened: %w", os.ErrInvalid)
	}
	e.files = append(e.files, f)
	e.length(len(f.Name()))
	e.b = append(e.b, f.Name()...)
	return nil
}

// itself encodes what encodes itself.
func (e *encoder) itself(c *codec, v reflect.Value) error {
	if k := v.Kind(); (k == reflect.Slice || k == reflect.Map) && v.IsNil() {
		e.b = append(e.b, 0)
		return nil
	}
	b, err := c.pair.encode(v.Addr().Interface())
	if err != nil {
		return fmt.Errorf("%s cannot be encoded as %s: %w", c.t, c.pair.name, err)
	}
	e.length(len(b) + 1)
	e.bytes(b)
	return nil
}

var (
	errItself  = errors.New("value contains itself")
	errDynamic = errors.New("but only nil, and booleans, numbers, strings, time.Time, any, and slices and maps of these with string keys")
)
