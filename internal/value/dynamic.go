package value

import (
	"reflect"
	"slices"
)

// In an interface there may be any type, and the decoder has to be told which. So these are just some: those below, and slices of
// them and maps from strings to them, up to three in one another. Each has a number, which is a byte:
//
//	0 to 16              those below; 0 stands for nil
//	17 + 2 * n           slices of the type with number n
//	17 + 2 * n + 1       maps from strings to it
//
// There are no others since the reflect package never forgets the types that it makes.
var dynamics = [...]reflect.Type{
	reflect.TypeFor[any](),
	reflect.TypeFor[bool](), reflect.TypeFor[string](), timeType,
	reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	reflect.TypeFor[uintptr](), reflect.TypeFor[float32](), reflect.TypeFor[float64](),
}

const (
	none  = -1  // of types that have no number
	last  = 254 // the highest number
	basic = len(dynamics)
)

// numberOf returns the number of a type.
func numberOf(t reflect.Type) int {
	if n := slices.Index(dynamics[:], t); n >= 0 {
		return n
	}
	isMap := t.Kind() == reflect.Map && t.Key() == dynamics[2]
	if t.Name() != "" || !isMap && t.Kind() != reflect.Slice {
		return none
	}
	n := numberOf(t.Elem())
	if n == none {
		return none
	}
	if n = basic + 2*n; isMap {
		n++
	}
	if n > last {
		return none
	}
	return n
}

// typeOf returns the type with a number from 1 to last.
func typeOf(n int) reflect.Type {
	switch {
	case n < basic:
		return dynamics[n]
	case (n-basic)%2 == 0:
		return reflect.SliceOf(typeOf((n - basic) / 2))
	}
	return reflect.MapOf(dynamics[2], typeOf((n-basic)/2))
}
