package value

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"reflect"
	"unsafe"
)

// A decoder decodes one value, from bytes that may be anything.
//
// Each value takes at least as many bytes as its codec says, and they have been set aside for it before it got any memory.
// So only what it takes beyond that has to be asked for.
type decoder struct {
	b           []byte // what has not been decoded
	free        int    // bytes of it that have not been set aside
	size        int    // of all
	descriptors []int  // those that are not files yet
	files       []*os.File
	depth       int
}

// all decodes the value that is all there is.
func (d *decoder) all(c *codec, v reflect.Value) error {
	d.free = len(d.b)
	if err := d.ask(1, c.least); err != nil {
		return err
	}
	if err := d.value(c, v); err != nil {
		return err
	}
	if d.free > 0 {
		return errLong
	}
	if len(d.descriptors) > 0 {
		return errFiles
	}
	return nil
}

// close closes all files.
func (d *decoder) close() {
	for _, fd := range d.descriptors {
		d.files = append(d.files, os.NewFile(uintptr(fd), ""))
	}
	for _, f := range d.files {
		_ = f.Close()
	}
}

// ask sets bytes aside for n values.
func (d *decoder) ask(n uint64, least int) error {
	if n > uint64(d.free/least) {
		return errShort
	}
	d.free -= int(n) * least
	return nil
}

// take returns bytes that have been set aside.
func (d *decoder) take(n int) []byte {
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

// exists decodes a bool.
func (d *decoder) exists() (yes bool, err error) {
	b := d.take(1)[0]
	if b > 1 {
		return false, errByte
	}
	return b == 1, nil
}

// length decodes a length, for which a byte has been set aside.
func (d *decoder) length() (uint64, error) {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		return 0, errShort
	}
	d.take(size)
	return n, d.ask(uint64(size-1), 1)
}

// bytes decodes so many bytes.
func (d *decoder) bytes(n uint64) ([]byte, error) {
	if err := d.ask(n, 1); err != nil {
		return nil, err
	}
	return d.take(int(n)), nil
}

// text decodes a string.
func (d *decoder) text() (string, error) {
	n, err := d.length()
	if err != nil {
		return "", err
	}
	b, err := d.bytes(n)
	if d.shares(b) {
		return unsafe.String(unsafe.SliceData(b), len(b)), err
	}
	return string(b), err
}

// shares tells whether a value keeps the memory that it has come in: not if it is but a small part.
func (d *decoder) shares(b []byte) bool { return len(b) >= Large && len(b) > d.size/2 }

// value decodes a value, which is zero.
func (d *decoder) value(c *codec, v reflect.Value) error {
	d.take(c.pad)
	switch c.kind {
	case plain:
		copy(unsafe.Slice((*byte)(unsafe.Pointer(v.UnsafeAddr())), c.least), d.take(c.least))
	case empty:
		d.take(1)
	case boolean:
		yes, err := d.exists()
		v.SetBool(yes)
		return err
	case text:
		s, err := d.text()
		v.SetString(s)
		return err
	case pointer:
		return d.pointer(c, v)
	case slice:
		return d.slice(c, v)
	case mapping:
		return d.mapping(c, v)
	case array:
		return d.elements(c, v)
	case structure:
		for i := range c.fields {
			f := &c.fields[i]
			if err := d.value(f.codec, f.of(v)); err != nil {
				return err
			}
		}
	case dynamic:
		return d.dynamic(v)
	case file:
		return d.file(v)
	case itself:
		return d.itself(c, v)
	}
	return nil
}

func (d *decoder) pointer(c *codec, v reflect.Value) error {
	exists, err := d.exists()
	if err != nil || !exists {
		return err
	}
	if err := d.ask(1, c.elem.least); err != nil {
		return err
	}
	v.Set(reflect.New(c.elem.t))
	return d.deeper(func() error { return d.value(c.elem, v.Elem()) })
}

// deeper decodes what a pointer, a slice or a map holds.
func (d *decoder) deeper(decode func() error) error {
	if d.depth++; d.depth > maxDepth {
		return errDeep
	}
	defer func() { d.depth-- }()
	return decode()
}

// count decodes the number of elements, for which it sets bytes aside.
func (d *decoder) count(least int) (n int, exists bool, err error) {
	u, err := d.length()
	if err != nil || u == 0 {
		return 0, false, err
	}
	return int(u - 1), true, d.ask(u-1, least)
}

func (d *decoder) slice(c *codec, v reflect.Value) error {
	n, exists, err := d.count(c.elem.least)
	switch {
	case err != nil || !exists:
		return err
	case n == 0:
		v.Set(reflect.MakeSlice(c.t, 0, 0))
		return nil
	case c.elem.kind == plain:
		d.numbers(c, v, d.take(n*c.elem.least), n)
		return nil
	}
	v.Grow(n)
	v.SetLen(n)
	return d.deeper(func() error { return d.elements(c, v) })
}

// numbers makes a slice of n numbers of their memory.
func (d *decoder) numbers(c *codec, v reflect.Value, b []byte, n int) {
	switch {
	case c.elem.t.Kind() != reflect.Uint8:
		v.Grow(n)
		v.SetLen(n)
		copy(unsafe.Slice((*byte)(v.UnsafePointer()), len(b)), b)
	case d.shares(b):
		v.SetBytes(b)
	default:
		v.SetBytes(bytes.Clone(b))
	}
}

// elements decodes the elements of a slice or an array.
func (d *decoder) elements(c *codec, v reflect.Value) error {
	for i := range v.Len() {
		if err := d.value(c.elem, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) mapping(c *codec, v reflect.Value) error {
	n, exists, err := d.count(c.key.least + c.elem.least)
	if err != nil || !exists {
		return err
	}
	v.Set(reflect.MakeMapWithSize(c.t, n))
	key, elem := reflect.New(c.key.t).Elem(), reflect.New(c.elem.t).Elem()
	return d.deeper(func() error {
		for range n {
			key.SetZero()
			elem.SetZero()
			if err := d.value(c.key, key); err != nil {
				return err
			}
			if err := d.value(c.elem, elem); err != nil {
				return err
			}
			v.SetMapIndex(key, elem)
		}
		return nil
	})
}

// dynamic decodes an interface.
func (d *decoder) dynamic(v reflect.Value) error {
	n := int(d.take(1)[0])
	if n == 0 {
		return nil
	}
	if n > last {
		return errByte
	}
	c, err := codecOf(typeOf(n))
	if err != nil {
		return err
	}
	if !c.t.Implements(v.Type()) {
		return errByte
	}
	if err := d.ask(1, c.least); err != nil {
		return err
	}
	inside := reflect.New(c.t).Elem()
	err = d.value(c, inside)
	v.Set(inside)
	return err
}

func (d *decoder) file(v reflect.Value) error {
	exists, err := d.exists()
	if err != nil || !exists {
		return err
	}
	if err := d.ask(1, 1); err != nil {
		return err
	}
	name, err := d.text()
	if err != nil {
		return err
	}
	if len(d.descriptors) == 0 {
		return errFiles
	}
	f := os.NewFile(uintptr(d.descriptors[0]), name)
	d.descriptors, d.files = d.descriptors[1:], append(d.files, f)
	v.Set(reflect.ValueOf(f))
	return nil
}

// itself decodes what encodes itself.
func (d *decoder) itself(c *codec, v reflect.Value) error {
	n, err := d.length()
	if err != nil {
		return err
	}
	if n == 0 {
		if k := v.Kind(); k != reflect.Slice && k != reflect.Map {
			return errByte
		}
		return nil
	}
	b, err := d.bytes(n - 1)
	if err != nil {
		return err
	}
	if err := c.pair.decode(v.Addr().Interface(), b); err != nil {
		return fmt.Errorf("%s cannot be decoded as %s: %w", c.t, c.pair.name, err)
	}
	return nil
}
