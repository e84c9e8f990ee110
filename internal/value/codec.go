package value

import (
	"io"
	"reflect"
	"slices"
	"strconv"
	"sync"
)

// A codec is what has to be known of a type to encode and decode its values.
type codec struct {
	t       reflect.Type
	kind    reflect.Kind // values are encoded as those of this kind, or of one of the kinds below
	nilable bool
	pair    *pair   // by which values encode themselves
	fields  []field // those of a struct that travel
}

const (
	refused   reflect.Kind = 100 + iota // cannot be encoded
	numbers                             // a number, or an array of numbers
	byteSlice                           // a slice of bytes
	nothing                             // has no memory at all
	file                                // a pointer to an open file
	itself                              // encodes itself
)

type field struct {
	*codec
	index int
}

// codecs holds the codecs that were made, by their types.
var codecs sync.Map

// codecOf returns the codec of a type. It does not look at what pointers, slices and maps refer to, which may be the type itself.
func codecOf(t reflect.Type) *codec {
	if c, ok := codecs.Load(t); ok {
		return c.(*codec)
	}
	k := t.Kind()
	c := &codec{t: t, kind: k, nilable: k == reflect.Pointer || k == reflect.Slice || k == reflect.Map, pair: pairOf(t)}
	switch {
	case c.pair != nil:
		c.kind = itself
	case t.Size() == 0:
		c.kind = nothing
	case k >= reflect.Int && k <= reflect.Float64, k == reflect.Array && codecOf(t.Elem()).kind == numbers:
		c.kind = numbers
	case k == reflect.Pointer && t.Elem() == fileType:
		c.kind = file
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && codecOf(t.Elem()).kind == numbers:
		c.kind = byteSlice
	case k == reflect.Bool, k == reflect.String, k == reflect.Pointer, k == reflect.Slice, k == reflect.Array:
	case k == reflect.Map && isKey(t.Key()), k == reflect.Interface && (t.NumMethod() == 0 || encodes(t)):
	case k == reflect.Struct:
		c.kind = refused // unless there is a field that travels
		for _, f := range fields(t) {
			c.kind, c.fields = k, append(c.fields, field{codecOf(f.Type), f.Index[0]})
		}
	default:
		c.kind = refused
	}
	codecs.Store(t, c)
	return c
}

// Check returns why values of a type can never travel, with the field that is to blame, or nil. What it writes to hash is not the same for
// types whose values are encoded differently. So parent and child, which should be the same program, notice if they are not.
func Check(root reflect.Type, hash io.Writer) error {
	seen := map[reflect.Type]bool{}
	var check func(t reflect.Type, path string) error
	check = func(t reflect.Type, path string) error {
		c := codecOf(t)
		_, _ = io.WriteString(hash, path+" "+t.String()+" "+strconv.Itoa(int(c.kind))+" "+strconv.Itoa(int(t.Size()))+"\n")
		if seen[t] {
			return nil
		}
		seen[t] = true
		switch c.kind {
		case refused:
			return refusal(t, root, path)
		case reflect.Map:
			if err := check(t.Key(), path); err != nil {
				return err
			}
			fallthrough
		case reflect.Pointer, reflect.Slice, reflect.Array:
			return check(t.Elem(), path)
		}
		for _, f := range c.fields {
			if err := check(f.t, path+"."+t.Field(f.index).Name); err != nil {
				return err
			}
		}
		return nil
	}
	return check(root, "")
}

// dynamics are the types that an interface may hold, since the encoding has to tell them. Slices of them and maps from strings to them
// may be in it, too, up to three in one another. Each type has a number:
//
//	0 to 16           those below; 0 stands for nil
//	17 + 2 * n        slices of the type with number n
//	17 + 2 * n + 1    maps from strings to that type
//
// Their number is limited since package reflect never forgets a type that it has made.
var dynamics = [...]reflect.Type{
	reflect.TypeFor[any](),
	reflect.TypeFor[string](), reflect.TypeFor[bool](), timeType,
	reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	reflect.TypeFor[uintptr](), reflect.TypeFor[float32](), reflect.TypeFor[float64](),
}

const base, lastDynamic = uint64(len(dynamics)), 254

// numberOf returns the number of a type, or one that is too large.
func numberOf(t reflect.Type) uint64 {
	switch n := slices.Index(dynamics[:], t); {
	case n >= 0:
		return uint64(n)
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
	switch elem := (n - base) / 2; {
	case n < base:
		return dynamics[n]
	case (n-base)%2 == 0:
		return reflect.SliceOf(typeOf(elem))
	default:
		return reflect.MapOf(dynamics[1], typeOf(elem))
	}
}
