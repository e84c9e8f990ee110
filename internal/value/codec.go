package value

import (
	"os"
	"reflect"
	"sync"
)

// A kind is how values of a type are encoded.
type kind byte

const (
	plain     kind = iota // their memory, which holds nothing but numbers
	empty                 // a byte
	boolean               // and so on: see the package's documentation
	text                  //
	pointer               //
	slice                 //
	array                 //
	mapping               //
	structure             //
	dynamic               // what is in an interface
	file                  // a pointer to an open file
	itself                // they encode themselves
)

// A codec is what has to be known of a type to encode and decode its values. It does not change once it is in
// the cache.
type codec struct {
	t      reflect.Type
	kind   kind
	least  int  // how many bytes a value takes at least
	pad    int  // how many zeros come first
	files  bool // values may hold open files
	key    *codec
	elem   *codec
	fields []field
	pair   *pair // by which they encode themselves
}

// A field is one that travels.
type field struct {
	index    int
	exported bool // or else it is embedded
	codec    *codec
}

// cache holds codecs by their types.
var cache sync.Map

// codecOf returns the codec of a type. Its error is why values of the type can never travel.
func codecOf(t reflect.Type) (*codec, error) {
	if c, ok := cache.Load(t); ok {
		return c.(*codec), nil
	}
	b := builder{}
	c, err := b.codec(t, t.String())
	if err != nil {
		return nil, err
	}
	b.finish()
	for t, c := range b {
		cache.LoadOrStore(t, c)
	}
	return c, nil
}

// A builder holds the codecs that are being built. It has the codec of a type before those of its parts, in which the
// type may be found again.
type builder map[reflect.Type]*codec

// codec returns the codec of a type, which has been found where it says.
func (b builder) codec(t reflect.Type, where string) (*codec, error) {
	if c := b[t]; c != nil {
		return c, nil
	}
	if c, ok := cache.Load(t); ok {
		return c.(*codec), nil
	}
	c := &codec{t: t}
	b[t] = c
	return c, b.build(c, where)
}

// build finds out how values of a type are encoded.
func (b builder) build(c *codec, where string) (err error) {
	t := c.t
	if c.pair = pairOf(t); c.pair != nil {
		c.kind = itself
		return nil
	}
	switch k := t.Kind(); {
	case k == reflect.Bool:
		c.kind = boolean
	case k >= reflect.Int && k <= reflect.Float64:
		c.kind = plain
	case k == reflect.String:
		c.kind = text
	case k == reflect.Interface && (t.NumMethod() == 0 || encodes(t)):
		c.kind = dynamic
	case k == reflect.Pointer && t.Elem() == fileType:
		c.kind, c.files = file, true
	case k == reflect.Pointer:
		c.kind = pointer
		c.elem, err = b.codec(t.Elem(), where)
	case k == reflect.Slice:
		c.kind = slice
		c.elem, err = b.codec(t.Elem(), where)
	case k == reflect.Array:
		c.kind = array
		if c.elem, err = b.codec(t.Elem(), where); err == nil && c.elem.kind == plain {
			c.kind = plain
		}
	case k == reflect.Map && isKey(t.Key()):
		c.kind = mapping
		if c.key, err = b.codec(t.Key(), where); err == nil {
			c.elem, err = b.codec(t.Elem(), where)
		}
	case k == reflect.Struct && (t.NumField() == 0 || len(fields(t)) > 0):
		err = b.structure(c, where)
	default:
		err = refusal(t, where)
	}
	if t.Size() == 0 {
		c.kind = empty
	}
	return err
}

// structure is build for structs.
func (b builder) structure(c *codec, where string) error {
	c.kind = structure
	numbers := uintptr(0) // bytes that are such fields
	for _, f := range fields(c.t) {
		inner, err := b.codec(f.Type, where+"."+f.Name)
		if err != nil {
			return err
		}
		c.fields = append(c.fields, field{f.Index[0], f.IsExported(), inner})
		if inner.kind == plain {
			numbers += f.Type.Size()
		}
	}
	if numbers == c.t.Size() {
		c.kind = plain
	}
	return nil
}

// parts returns the codecs of what a value may hold.
func (c *codec) parts() (parts []*codec) {
	for _, f := range c.fields {
		parts = append(parts, f.codec)
	}
	for _, part := range []*codec{c.key, c.elem} {
		if part != nil {
			parts = append(parts, part)
		}
	}
	return parts
}

// finish finds out what can only be known once all codecs are built, as types may refer to each other.
func (b builder) finish() {
	for changed := true; changed; {
		changed = false
		for _, c := range b {
			for _, part := range c.parts() {
				if part.files && !c.files {
					c.files, changed = true, true
				}
			}
		}
	}
	for _, c := range b {
		c.measure()
	}
}

// measure finds out how many bytes a value takes at least, and how many of them are zeros. Both follow from the type alone, since parent and
// child may come to know their types in another order.
func (c *codec) measure() int {
	if c.least > 0 { // others may use it already
		return c.least
	}
	const ratio = 32 // bytes of memory for each byte that travels
	hidden := int(c.t.Size())
	switch c.least = 1; c.kind {
	case plain:
		c.least = hidden
		return c.least
	case itself:
		hidden -= ratio // for the length
	case array:
		c.least = c.t.Len() * c.elem.measure()
		return c.least
	case structure:
		c.least = 0
		for _, f := range c.fields {
			c.least += f.codec.measure()
			hidden -= int(f.codec.t.Size())
		}
	default:
		return c.least
	}
	c.pad = max(0, (hidden+ratio-1)/ratio)
	c.least += c.pad
	return c.least
}

var fileType = reflect.TypeFor[os.File]()
