package frame

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// An open file in a value is {} in JSON, which says nothing but that there is one; nil is
// null. So both sides walk the value in the same order, and the receiver puts the files where the
// sender has found them.

var (
	fileType    = reflect.TypeFor[os.File]()
	filePointer = reflect.TypeFor[*os.File]()
	marshaler   = reflect.TypeFor[json.Marshaler]()
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textEncoder = reflect.TypeFor[encoding.TextMarshaler]()
	textDecoder = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// CheckType finds out whether values of a type can hold open files. Its error names what in the type can
// never travel.
func CheckType(t reflect.Type) (files bool, err error) {
	return checkType(t, t.String(), map[reflect.Type]bool{})
}

func checkType(t reflect.Type, where string, seen map[reflect.Type]bool) (files bool, err error) {
	if t == filePointer {
		return true, nil
	}
	if t == fileType {
		return false, fmt.Errorf("%s is an os.File by value; a pointer to it can travel", where)
	}
	if seen[t] || encodesItself(t) {
		return false, nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return false, fmt.Errorf("%s is a %s, which cannot travel", where, t)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return false, fmt.Errorf("%s is a %s, an interface that cannot be decoded", where, t)
		}
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return checkType(t.Elem(), where, seen)
	case reflect.Map:
		if !isKey(t.Key()) {
			return false, fmt.Errorf("%s is a %s, whose keys cannot be encoded", where, t)
		}
		return checkType(t.Elem(), where, seen)
	case reflect.Struct:
		for _, field := range fields(t) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous && field.Type == filePointer && name == "" {
				return false, fmt.Errorf("%s.%s is embedded, and so left out by package json; a named field can travel", where, field.Name)
			}
			inField, err := checkType(field.Type, where+"."+field.Name, seen)
			if err != nil {
				return false, err
			}
			files = files || inField
		}
	}
	return files, nil
}

// encodesItself tells whether a type has an encoding of its own, which is none of our business.
func encodesItself(t reflect.Type) bool {
	for _, own := range []reflect.Type{marshaler, unmarshaler, textEncoder, textDecoder} {
		if t.Implements(own) || (t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && reflect.PointerTo(t).Implements(own)) {
			return true
		}
	}
	return false
}

// isKey tells whether a type can be that of a JSON object's keys.
func isKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return t.Implements(textEncoder) && reflect.PointerTo(t).Implements(textDecoder)
}

// fields returns those fields that package json encodes.
func fields(t reflect.Type) (fields []reflect.StructField) {
	for i := range t.NumField() {
		field := t.Field(i)
		embedded := field.Anonymous && (field.Type.Kind() == reflect.Struct ||
			field.Type.Kind() == reflect.Pointer && field.Type.Elem().Kind() == reflect.Struct)
		if (field.IsExported() || embedded) && field.Tag.Get("json") != "-" {
			fields = append(fields, field)
		}
	}
	return fields
}

// FilesOf returns the open files of a value, whose type can hold some.
func FilesOf(value any) (files []*os.File) {
	w := walker{visit: func(f reflect.Value) error {
		files = append(files, f.Interface().(*os.File))
		return nil
	}}
	_ = w.walk(reflect.ValueOf(value)) // what is too deep cannot be encoded either
	return files
}

// putFiles puts open files into a value that has been decoded.
func putFiles(pointer any, files []*os.File) error {
	w := walker{put: true, visit: func(f reflect.Value) error {
		if len(files) == 0 {
			return errFiles
		}
		f.Set(reflect.ValueOf(files[0]))
		files = files[1:]
		return nil
	}}
	err := w.walk(reflect.ValueOf(pointer))
	if err == nil && len(files) > 0 {
		err = errFiles
	}
	return err
}

// A walker visits all files in a value, but nil ones, in an order that depends on the value
// alone. If they are put there, then also into maps, whose values cannot be set.
type walker struct {
	put   bool
	visit func(f reflect.Value) error
	depth int
}

// maxDepth is deeper than package json goes. A value that contains itself is deeper.
const maxDepth = 50_000

var errDepth = errors.New("value contains itself")

func (w *walker) walk(v reflect.Value) error {
	if !v.IsValid() {
		return nil
	}
	t := v.Type()
	if t == filePointer {
		if v.IsNil() {
			return nil
		}
		return w.visit(v)
	}
	if encodesItself(t) {
		return nil
	}
	if w.depth == maxDepth {
		return errDepth
	}
	w.depth++
	defer func() { w.depth-- }()
	switch v.Kind() {
	case reflect.Pointer:
		return w.walk(v.Elem())
	case reflect.Slice, reflect.Array:
		if !mayHold(t.Elem()) {
			return nil
		}
		for i := range v.Len() {
			if err := w.walk(v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		return w.walkMap(v)
	case reflect.Struct:
		for _, field := range fields(t) {
			if err := w.walk(v.FieldByIndex(field.Index)); err != nil {
				return err
			}
		}
	}
	return nil
}

// walkMap is walk for maps: in the order of their keys.
func (w *walker) walkMap(v reflect.Value) error {
	if !mayHold(v.Type().Elem()) {
		return nil
	}
	type entry struct {
		name string
		key  reflect.Value
	}
	var entries []entry
	for _, key := range v.MapKeys() {
		entries = append(entries, entry{keyName(key), key})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	for _, e := range entries {
		element := v.MapIndex(e.key)
		if w.put {
			element = reflect.New(v.Type().Elem()).Elem()
			element.Set(v.MapIndex(e.key))
		}
		if err := w.walk(element); err != nil {
			return err
		}
		if w.put {
			v.SetMapIndex(e.key, element)
		}
	}
	return nil
}

// keyName is the name of a key in a JSON object. Package json makes U+FFFD of what is no
// text, as a conversion to runes does.
func keyName(key reflect.Value) string {
	text, encodesItself := key.Interface().(encoding.TextMarshaler)
	switch {
	case key.Kind() == reflect.String:
		return string([]rune(key.String()))
	case encodesItself:
		name, _ := text.MarshalText() // has just been encoded without an error
		return string([]rune(string(name)))
	case key.CanInt():
		return strconv.FormatInt(key.Int(), 10)
	}
	return strconv.FormatUint(key.Uint(), 10)
}

// mayHold tells whether elements of a type are worth a walk: bytes, numbers and texts are not.
func mayHold(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map, reflect.Struct:
		return true
	}
	return false
}
