package value

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
)

// someType is one of a limited number of types.
func someType(seed uint16) reflect.Type {
	if int(seed) < len(ordinary) {
		return ordinary[seed]
	}
	return newGenerator(uint64(seed % 8192)).aType(3)
}

// print prints what a pointer points to.
func print(pointer reflect.Value) string { return fmt.Sprintf("%#v", pointer.Elem()) }

// Values of any type arrive as they were sent.
func FuzzThereAndBack(f *testing.F) {
	for i := range 3000 {
		f.Add(uint16(i%300), uint64(i))
	}
	f.Fuzz(func(t *testing.T, typ uint16, seed uint64) {
		sent := reflect.New(someType(typ))
		newGenerator(seed).fill(sent.Elem(), 5)
		b, files, err := encode(sent.Interface())
		if err != nil || len(files) > 0 {
			t.Fatalf("%s %.300s: %v", sent.Type(), print(sent), err)
		}
		received := reflect.New(sent.Type().Elem())
		if err := Decode(b, nil, received.Interface()); err != nil {
			t.Fatalf("%s %.300s: %v, %.300q", sent.Type(), print(sent), err, b)
		}
		if !same(sent.Elem(), received.Elem()) {
			t.Fatalf("%s %.300s has become %.300s, %.300q", sent.Type(), print(sent), print(received), b)
		}
		if len(b) > 0 && Decode(b[:len(b)-1], nil, received.Interface()) == nil {
			t.Fatalf("%s %.300s: a part of %.300q is enough", sent.Type(), print(sent), b)
		}
		if Decode(append(b, 0), nil, received.Interface()) == nil {
			t.Fatalf("%s %.300s: more than %.300q is not too much", sent.Type(), print(sent), b)
		}
	})
}

// A peer may send anything, above all a child in a hostile container. Whatever it is, it is decoded to a value that can be sent, or to an
// error, and takes memory in proportion.
func FuzzDecode(f *testing.F) {
	for i := range uint16(200) {
		v := reflect.New(someType(i))
		newGenerator(uint64(i)).fill(v.Elem(), 5)
		b, _, err := encode(v.Interface())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(i, b)
		f.Add(i, bytes.Repeat([]byte{0xff}, 20))
		f.Add(i, bytes.Repeat([]byte{0xff, 0x7f}, 1000))
	}
	f.Fuzz(func(t *testing.T, typ uint16, b []byte) {
		v := reflect.New(someType(typ))
		_ = codecOf(v.Type().Elem())
		var err error
		// Twice as much with the race detector; others allocate too.
		if allocated := measured(func() { err = Decode(b, nil, v.Interface()) }); allocated > uint64(3*someMore+6*maxRatio*len(b)) {
			t.Errorf("%s: %d bytes take %d bytes of memory: %.300q", v.Type(), len(b), allocated, b)
		}
		if err != nil {
			if !v.Elem().IsZero() {
				t.Errorf("%s: %v and %.300s", v.Type(), err, print(v))
			}
			return
		}
		encoded, _, err := encode(v.Interface())
		if err != nil {
			return // an encoder may be more choosy than its decoder
		}
		again := reflect.New(v.Type().Elem())
		if err := Decode(encoded, nil, again.Interface()); err != nil || !same(v.Elem(), again.Elem()) {
			t.Errorf("%s: %.300q is %.300s, and then %.300s, %v", v.Type(), b, print(v), print(again), err)
		}
	})
}
