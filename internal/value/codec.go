package value

import (
	"reflect"
	"slices"
	"sync"
)

// A codec is what has to be known of a type to encode and decode its values. It does not change once it is in
// the cache.
type codec struct {
	t     reflect.Type
	kind  reflect.Kind // values are encoded as those of this kind, or of one of the kinds below
	parts []part       // what values consist of: fields, or elements and then keys
	pair  *pair        // by which values encode themselves
}

const (
	numbers reflect.Kind = 100 + iota // a number, or an array of numbers
	nothing                           // no memory at all
	file                              // a pointer to an open file
	itself                            // encodes itself
)

// A part is a type of which another one consists.
type part struct {
	*codec
	field reflect.StructField // without a name if it is none
}

// elem is the codec of elements, or of what a pointer points to.
func (c *codec) elem() *codec { return c.parts[0].codec }

// walk visits a codec and those of all its parts, in an order that depends on the type alone.
func (c *codec) walk(visit func(name string, c *codec)) {
	seen := map[reflect.Type]bool{}
	var walk func(string, *codec)
	walk = func(name string, c *codec) {
		visit(name, c)
		if !seen[c.t] {
			seen[c.t] = true
			for _, p := range c.parts {
				walk(p.field.Name, p.codec)
			}
		}
	}
	walk("", c)
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
	for t, c := range b {
		cache.LoadOrStore(t, c)
	}
	return c, nil
}

// A builder holds the codecs that are being built. It has that of a type before those of its parts, in which the type may be
// found again.
type builder map[reflect.Type]*codec

// codec returns the codec of a type. Errors call it by where it was found.
func (b builder) codec(t reflect.Type, where string) (*codec, error) {
	if c := b[t]; c != nil {
		return c, nil
	}
	if c, ok := cache.Load(t); ok {
		return c.(*codec), nil
	}
	c := &codec{t: t, kind: t.Kind(), pair: pairOf(t)}
	b[t] = c
	var parts []reflect.StructField
	switch k := c.kind; {
	case c.pair != nil:
		c.kind = itself
	case t.Size() == 0:
		c.kind = nothing
	case k == reflect.Pointer && t.Elem() == fileType:
		c.kind = file
	case k >= reflect.Int && k <= reflect.Float64:
		c.kind = numbers
	case k == reflect.Bool, k == reflect.String, k == reflect.Interface && (t.NumMethod() == 0 || encodes(t)):
	case k == reflect.Pointer, k == reflect.Slice, k == reflect.Array:
		parts = []reflect.StructField{{Type: t.Elem()}}
	case k == reflect.Map && isKey(t.Key()):
		parts = []reflect.StructField{{Type: t.Elem()}, {Type: t.Key()}}
	case k == reflect.Struct && len(fields(t)) > 0:
		parts = fields(t)
	default:
		return nil, refusal(t, where)
	}
	return c, b.add(c, parts, where)
}

// add adds the parts of a codec.
func (b builder) add(c *codec, parts []reflect.StructField, where string) error {
	for _, f := range parts {
		place := where
		if f.Name != "" {
			place += "." + f.Name
		}
		inner, err := b.codec(f.Type, place)
		if err != nil {
			return err
		}
		c.parts = append(c.parts, part{inner, f})
		if c.kind == reflect.Array && inner.kind == numbers {
			c.kind = numbers
		}
	}
	return nil
}

// What an interface holds may be of any type, and the decoder has to be told of which. So it may be just one of those below, and of slices of
// them and maps from strings to them, up to three in one another. Each has a number, which is a byte:
//
//	0 to 16           those below; 0 stands for nil
//	17 + 2 * n        slices of the type with number n
//	17 + 2 * n + 1    maps from strings to that type
//
// There are no more since package reflect never forgets a type that it has made.
var dynamics = [...]reflect.Type{
	reflect.TypeFor[any](),
	reflect.TypeFor[string](), reflect.TypeFor[bool](), timeType,
	reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	reflect.TypeFor[uintptr](), reflect.TypeFor[float32](), reflect.TypeFor[float64](),
}

const lastDynamic = 254

// numberOf returns the number of a type, or one that is too large.
func numberOf(t reflect.Type) uint64 {
	if n := slices.Index(dynamics[:], t); n >= 0 {
		return uint64(n)
	}
	base := uint64(len(dynamics))
	switch {
	case t.Name() != "":
	case t.Kind() == reflect.Slice:
		return base + 2*numberOf(t.Elem())
	case t.Kind() == reflect.Map && t.Key() == dynamics[1]:
		return base + 2*numberOf(t.Elem()) + 1
	}
	return lastDynamic + 1
}

// typeOf returns the type with a number.
func typeOf(n uint64) reflect.Type {
	base := uint64(len(dynamics))
	if n < base {
		return dynamics[n]
	}
	elem := typeOf((n - base) / 2)
	if (n-base)%2 == 0 {
		return reflect.SliceOf(elem)
	}
	return reflect.MapOf(dynamics[1], elem)
}
