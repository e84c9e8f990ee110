package value

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"time"
)

// fields returns the fields of a struct that travel: exported ones, and embedded ones in which there is something that
// does. Those of the types within which it is embedded are not looked at again.
func fields(t reflect.Type, within ...reflect.Type) (travel []reflect.StructField) {
	for i := range t.NumField() {
		f := t.Field(i)
		base := f.Type
		if base.Kind() == reflect.Pointer {
			base = base.Elem()
		}
		travels := f.IsExported()
		switch {
		case !f.Anonymous, base == fileType:
		case pairOf(base) != nil:
			travels = true
		case base.Kind() == reflect.Struct:
			travels = !slices.Contains(within, base) && len(fields(base, append(within, t)...)) > 0
		}
		if travels && f.Tag.Get("json") != "-" {
			travel = append(travel, f)
		}
	}
	return travel
}

// isKey tells whether a type can be that of a map's keys.
func isKey(t reflect.Type) bool {
	return t.Kind() == reflect.String || t.Kind() >= reflect.Int && t.Kind() <= reflect.Uintptr || pairs[textual].isOf(t)
}

// refusal says why values of a type can never travel, and what to do. A path of fields leads to the type from its root.
func refusal(t, root reflect.Type, path string) error {
	why := cmp.Or(map[reflect.Kind]string{
		reflect.Interface: "is an interface with methods, so the type of what is in it is not known",
		reflect.Map:       "has keys that are neither strings nor integers, nor encode themselves as text",
		reflect.Struct:    "has no exported fields, nor methods such as MarshalText and UnmarshalText",
	}[t.Kind()], "cannot be encoded")
	switch {
	case t == fileType:
		why = "is an open file by value; send a pointer to it"
	case t == reflect.TypeFor[error]():
		why += "; send its text"
	case slices.Contains([]string{"net.Listener", "net.Conn", "net.PacketConn"}, t.String()) || reflect.PointerTo(t).Implements(filerType):
		why += "; send its File()"
	}
	if path != "" {
		why += `; json:"-" leaves the field behind`
	}
	if t == root {
		return fmt.Errorf("%s %s", t, why)
	}
	return fmt.Errorf("%s%s is of type %s, which %s", root, path, t, why)
}

// A pair is two methods by which values of a type encode and decode themselves.
type pair struct {
	encoder, decoder reflect.Type // interfaces
	encode           func(pointer any) ([]byte, error)
	decode           func(pointer any, b []byte) error
}

// pairs are all pairs. The first one that a type has counts.
var pairs = [...]pair{
	newPair(json.Marshaler.MarshalJSON, json.Unmarshaler.UnmarshalJSON),
	newPair(encoding.TextMarshaler.MarshalText, encoding.TextUnmarshaler.UnmarshalText),
	newPair(encoding.BinaryMarshaler.MarshalBinary, encoding.BinaryUnmarshaler.UnmarshalBinary),
}

const textual, inBinary = 1, 2 // indices of pairs

// timePair is for times: JSON has neither years after 9999 nor zones with seconds. UnmarshalBinary takes the seconds of a
// zone, the last of 16 bytes, for positive ones.
var timePair = newPair((*time.Time).MarshalBinary, func(t *time.Time, b []byte) error {
	err := t.UnmarshalBinary(b)
	if err == nil && len(b) == 16 && int8(b[15]) < 0 {
		_, offset := t.Zone()
		*t = t.In(time.FixedZone("", offset-1<<8))
	}
	return err
})

// methods are the methods of all pairs in a type. Their names are constants, or else the linker would keep all methods of all types.
func methods(t reflect.Type) (m [len(pairs)][2]reflect.Method) {
	m[0][0], _ = t.MethodByName("MarshalJSON")
	m[0][1], _ = t.MethodByName("UnmarshalJSON")
	m[textual][0], _ = t.MethodByName("MarshalText")
	m[textual][1], _ = t.MethodByName("UnmarshalText")
	m[inBinary][0], _ = t.MethodByName("MarshalBinary")
	m[inBinary][1], _ = t.MethodByName("UnmarshalBinary")
	return m
}

func newPair[E, D any](encode func(E) ([]byte, error), decode func(D, []byte) error) pair {
	return pair{
		reflect.TypeFor[E](), reflect.TypeFor[D](),
		func(pointer any) ([]byte, error) { return encode(pointer.(E)) },
		func(pointer any, b []byte) error { return decode(pointer.(D), b) },
	}
}

// pairOf returns the pair by which values of a type encode themselves, or nil. The methods may be those of its pointer. Half a
// pair does not count, nor do methods that a struct has from an embedded field, since they know nothing of its other fields.
func pairOf(t reflect.Type) *pair {
	if t == timeType {
		return &timePair
	}
	for i := range pairs {
		if pairs[i].isOf(t) && (t.Kind() != reflect.Struct || !isPromoted(t, i)) {
			return &pairs[i]
		}
	}
	return nil
}

// isOf tells whether a type, or its pointer, has both methods.
func (p *pair) isOf(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return pointer.Implements(p.encoder) && pointer.Implements(p.decoder)
}

// isPromoted tells whether a struct has one of the methods of a pair from an embedded field. Then the method is a wrapper that the
// compiler has made, and has no file. A type's own method has such a wrapper only for its pointer.
func isPromoted(t reflect.Type, pair int) bool {
	own := methods(t)[pair]
	for i, m := range methods(reflect.PointerTo(t))[pair] {
		if own[i].Func.IsValid() {
			m = own[i]
		}
		code := m.Func.Pointer()
		if file, _ := runtime.FuncForPC(code).FileLine(code); file == "<autogenerated>" {
			return true
		}
	}
	return false
}

// encodes tells whether an interface has a method by which what is in it encodes itself.
func encodes(t reflect.Type) bool {
	return slices.ContainsFunc(pairs[:], func(p pair) bool { return t.Implements(p.encoder) })
}

var (
	fileType  = reflect.TypeFor[os.File]()
	timeType  = reflect.TypeFor[time.Time]()
	filerType = reflect.TypeFor[interface{ File() (*os.File, error) }]() // listeners and connections of package net
)
