package value

import (
	"fmt"
	"os"
	"reflect"
	"unsafe"
)

// value encodes a value, or decodes one, which is zero before. It is addressable.
func (x *coder) value(c *codec, v reflect.Value) {
	if x.err != nil || x.only && (c.kind == reflect.Interface || c.kind == itself) {
		return
	}
	if c.nilable && !x.bool(!v.IsNil()) {
		return
	}
	switch c.kind {
	case refused:
		x.fail(fmt.Errorf("%s cannot travel", c.t))
	case nothing:
		x.number(0)
	case numbers:
		memory := unsafe.Slice((*byte)(unsafe.Pointer(v.UnsafeAddr())), c.t.Size())
		if x.decodes {
			copy(memory, x.take(uint64(len(memory))))
		} else {
			x.b = append(x.b, memory...)
		}
	case reflect.Bool:
		if yes := x.bool(v.Bool()); x.decodes {
			v.SetBool(yes)
		}
	case reflect.String:
		s := v.String()
		b := x.bytes(unsafe.Slice(unsafe.StringData(s), len(s)))
		if x.decodes {
			v.SetString(unsafe.String(unsafe.SliceData(b), len(b)))
		}
	case byteSlice:
		if b := x.bytes(v.Bytes()); x.decodes {
			v.SetBytes(b)
		}
	case reflect.Pointer, reflect.Slice, reflect.Map:
		x.deeper(c, v)
	case reflect.Array, reflect.Struct:
		x.inside(c, v, 0)
	case reflect.Interface:
		x.dynamic(v)
	case file:
		x.file(v)
	case itself:
		x.itself(c, v)
	}
}

// deeper encodes or decodes what a pointer, a slice or a map refers to: one value, or several, or pairs of them. To find cycles, an
// encoder marks the last reference at a depth that is a power of two: a value that contains itself meets the mark again, before it
// has taken much memory.
func (x *coder) deeper(c *codec, v reflect.Value) {
	n := uint64(1)
	if c.kind != reflect.Pointer {
		n = x.number(uint64(v.Len()))
	}
	x.depth++
	marks := x.depth&(x.depth-1) == 0
	switch here := [3]uintptr{uintptr(unsafe.Pointer(c)), v.Pointer(), uintptr(n)}; {
	case x.depth > maxDepth:
		x.fail(errDeep)
	case here == x.mark && !x.decodes:
		x.fail(errItself)
	case marks:
		x.mark = here
	}
	if x.decodes {
		x.make(v, n)
	}
	x.inside(c, v, int(n))
	if marks {
		x.mark = [3]uintptr{}
	}
	x.depth--
}

// make makes what a pointer, a slice or a map that is decoded refers to.
func (x *coder) make(v reflect.Value, n uint64) {
	t, size := v.Type(), uint64(v.Type().Elem().Size())
	if t.Kind() == reflect.Map {
		size += uint64(t.Key().Size())
	}
	switch {
	case n > uint64(len(x.b)) || n*size > x.memory: // each value takes a byte at least
		x.fail(errMemory)
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
	case t.Kind() == reflect.Map:
		v.Set(reflect.MakeMapWithSize(t, int(n)))
	case n == 0:
		v.Set(reflect.MakeSlice(t, 0, 0))
	default:
		v.Grow(int(n))
		v.SetLen(int(n))
	}
	x.memory -= n * size
}

// inside encodes or decodes what a reference refers to, or what an array or a struct holds.
func (x *coder) inside(c *codec, v reflect.Value, n int) {
	switch c.kind {
	case reflect.Pointer:
		x.value(codecOf(c.t.Elem()), v.Elem())
	case reflect.Map:
		x.entries(c, v, n)
	case reflect.Slice, reflect.Array:
		elem := codecOf(c.t.Elem())
		for i := range v.Len() {
			x.value(elem, v.Index(i))
		}
	case reflect.Struct:
		for _, f := range c.fields {
			inside := v.Field(f.index)
			if !inside.CanSet() { // it is embedded, and not exported
				inside = reflect.NewAt(f.t, unsafe.Pointer(inside.UnsafeAddr())).Elem()
			}
			x.value(f.codec, inside)
		}
	}
}

// entries encodes or decodes the n entries of a map.
func (x *coder) entries(c *codec, v reflect.Value, n int) {
	elem, key := reflect.New(c.t.Elem()).Elem(), reflect.New(c.t.Key()).Elem()
	entries := v.MapRange()
	for i := 0; i < n && x.err == nil; i++ { // a decoder has not checked n after an error
		if x.decodes {
			key.SetZero()
			elem.SetZero()
		} else if entries.Next() {
			key.SetIterKey(entries)
			elem.SetIterValue(entries)
		}
		x.all(key)
		x.all(elem)
		if x.decodes && x.err == nil {
			v.SetMapIndex(key, elem)
		}
	}
	if x.decodes && v.Len() < n {
		x.fail(errKeys)
	}
}

// dynamic encodes or decodes what an interface holds.
func (x *coder) dynamic(v reflect.Value) {
	n := uint64(0)
	if !x.decodes && !v.IsNil() {
		if n = numberOf(v.Elem().Type()); n > lastDynamic {
			x.fail(fmt.Errorf("%s in an interface cannot travel", v.Elem().Type()))
		}
	}
	switch n = x.number(n); {
	case n == 0:
	case n > lastDynamic || !typeOf(n).Implements(v.Type()):
		x.fail(errBytes)
	default:
		inside := reflect.New(typeOf(n)).Elem()
		if !x.decodes {
			inside.Set(v.Elem())
		}
		x.all(inside)
		if x.decodes {
			v.Set(inside)
		}
	}
}

// file encodes or decodes an open file.
func (x *coder) file(v reflect.Value) {
	f := (*os.File)(v.UnsafePointer())
	switch {
	case x.decodes && len(x.descriptors) == 0:
		x.fail(errBytes)
	case x.decodes:
		f = os.NewFile(uintptr(x.descriptors[0]), string(x.bytes(nil)))
		x.descriptors, x.files = x.descriptors[1:], append(x.files, f)
		v.Set(reflect.ValueOf(f))
	case *f == os.File{}:
		x.fail(fmt.Errorf("os.File that was never opened: %w", os.ErrInvalid))
	default:
		x.files = append(x.files, f)
		x.bytes([]byte(f.Name()))
	}
}

// itself encodes or decodes what encodes itself.
func (x *coder) itself(c *codec, v reflect.Value) {
	b := []byte(nil)
	if !x.decodes {
		var err error
		if b, err = c.pair.encode(v.Addr().Interface()); err != nil {
			x.fail(fmt.Errorf("%s: %w", c.t, err))
		}
	}
	if b = x.bytes(b); x.decodes && x.err == nil {
		if err := c.pair.decode(v.Addr().Interface(), b); err != nil {
			x.fail(err)
		}
	}
}
