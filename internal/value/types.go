package value

import (
	"fmt"
	"os"
	"reflect"
)

// fields returns the fields of a struct that travel: exported ones, and what is embedded, if there is something in it that
// does.
func fields(t reflect.Type) []reflect.StructField { return fieldsBut(t, nil) }

// fieldsBut is fields for a type that is embedded in others, which are not looked at again.
func fieldsBut(t reflect.Type, others []reflect.Type) (travel []reflect.StructField) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("json") == "-" {
			continue
		}
		base := f.Type
		if base.Kind() == reflect.Pointer {
			base = base.Elem()
		}
		switch {
		case !f.Anonymous && !f.IsExported():
			continue
		case !f.Anonymous, base == fileType, pairOf(base) != nil:
		case base.Kind() == reflect.Struct:
			if holds(others, base) || len(fieldsBut(base, append(others, t))) == 0 {
				continue
			}
		case !f.IsExported():
			continue
		}
		travel = append(travel, f)
	}
	return travel
}

func holds(types []reflect.Type, t reflect.Type) bool {
	for _, other := range types {
		if other == t {
			return true
		}
	}
	return false
}

// isKey tells whether a type can be that of a map's keys: strings, integers, and what encodes itself as text.
func isKey(t reflect.Type) bool {
	switch k := t.Kind(); {
	case k == reflect.String, k >= reflect.Int && k <= reflect.Uintptr:
		return true
	}
	return textPair.isOf(t)
}

// refusal says why values of a type, which has been found where it says, can never travel.
func refusal(t reflect.Type, where string) error {
	why := "cannot travel"
	switch k := t.Kind(); {
	case t == fileType:
		why = "is an open file by value; a pointer to it can travel"
	case k == reflect.Interface:
		why = "is an interface with methods: what is in it cannot be decoded"
	case k == reflect.Map:
		why = "has keys that are neither strings nor integers, nor encode themselves as text"
	case k == reflect.Struct:
		why = "has fields, but none that can travel: no exported ones, and no methods such as MarshalText and UnmarshalText"
	}
	switch {
	case t == reflect.TypeFor[error]():
		why += "; send its text"
	case isConnection(t):
		why += "; send its File()"
	}
	if where == t.String() {
		return fmt.Errorf("%s %s", where, why)
	}
	return fmt.Errorf("%s is of type %s, which %s", where, t, why)
}

// isConnection tells whether a type is a listener or a connection.
func isConnection(t reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return t.PkgPath() == "net" && (t.Name() == "Listener" || t.Name() == "Conn" || t.Name() == "PacketConn")
	}
	return reflect.PointerTo(t).Implements(reflect.TypeFor[interface{ File() (*os.File, error) }]())
}
