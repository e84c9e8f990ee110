package value

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/specs"
)

// Types that are not like others.
type (
	list  struct{ Next *list }
	tree  struct{ Kids []tree }
	nest  []nest
	named map[string]named
	chain *chain
	ping  struct{ Pong *pong }
	pong  struct {
		Ping  ping
		Files []*os.File
	}

	inner struct {
		Name   string
		hidden int
	}
	Outer struct{ Number int }
	mixed struct {
		inner
		*Outer
		*secret
		sync.Mutex
		time.Time
		Left  string `json:"-"`
		Dash  string `json:"-,"` //lint:ignore SA5008 this is the name "-"
		Other []byte
	}
	secret struct{ Text string }
	large  struct {
		Next *large
		_    [1 << 10]byte
	}

	// byPointer has its methods by pointer, as most have.
	byPointer struct{ n int }

	// level encodes itself, and may be a key.
	level int

	// twofold has methods for text and for binary.
	twofold struct{ s string }

	// half has one half of a pair of its own, and both of another one from what is embedded.
	half struct {
		time.Time
		Zone string
	}

	// overriding has methods of its own beside embedded ones.
	overriding struct {
		time.Time
		zone string
	}

	// generic has methods that the compiler instantiates.
	generic[T any] struct {
		time.Time
		X T
	}

	rawList []string
)

func (b *byPointer) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, int64(b.n), 10), nil }
func (b *byPointer) UnmarshalJSON(t []byte) (err error) {
	b.n, err = strconv.Atoi(string(t))
	return err
}

func (l level) MarshalText() ([]byte, error) {
	return strconv.AppendInt([]byte("level "), int64(l), 10), nil
}
func (l *level) UnmarshalText(b []byte) error {
	n, err := strconv.Atoi(strings.TrimPrefix(string(b), "level "))
	*l = level(n)
	return err
}

func (t twofold) MarshalText() ([]byte, error) { return []byte("text" + t.s), nil }
func (t *twofold) UnmarshalText(b []byte) error {
	t.s = strings.TrimPrefix(string(b), "text")
	return nil
}
func (t twofold) MarshalBinary() ([]byte, error)   { panic("binary") }
func (t *twofold) UnmarshalBinary([]byte) error    { panic("binary") }
func (h half) MarshalJSON() ([]byte, error)        { panic("half") }
func (o overriding) MarshalText() ([]byte, error)  { return []byte(o.zone), nil }
func (o *overriding) UnmarshalText(b []byte) error { o.zone = string(b); return nil }
func (o overriding) MarshalJSON() ([]byte, error)  { return []byte(o.zone), nil }
func (o *overriding) UnmarshalJSON(b []byte) error { o.zone = string(b); return nil }
func (g generic[T]) MarshalJSON() ([]byte, error)  { return json.Marshal(g.X) }
func (g *generic[T]) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &g.X) }
func (r rawList) MarshalText() ([]byte, error)     { return []byte(strings.Join(r, ",")), nil }
func (r *rawList) UnmarshalText(b []byte) error    { *r = strings.Split(string(b), ","); return nil }

// ordinary are types from which others are made.
var ordinary = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[string](), reflect.TypeFor[any](), timeType,
	reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	reflect.TypeFor[uintptr](), reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[[]byte](), reflect.TypeFor[struct{}](),
	reflect.TypeFor[time.Duration](), reflect.TypeFor[os.FileMode](), reflect.TypeFor[syscall.Errno](), reflect.TypeFor[json.Number](),
	reflect.TypeFor[json.RawMessage](), reflect.TypeFor[big.Int](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix](), reflect.TypeFor[net.IP](),
	reflect.TypeFor[net.IPNet](), reflect.TypeFor[url.URL](), reflect.TypeFor[list](), reflect.TypeFor[tree](), reflect.TypeFor[nest](), reflect.TypeFor[named](),
	reflect.TypeFor[chain](), reflect.TypeFor[ping](), reflect.TypeFor[pong](), reflect.TypeFor[mixed](), reflect.TypeFor[large](), reflect.TypeFor[byPointer](),
	reflect.TypeFor[level](), reflect.TypeFor[twofold](), reflect.TypeFor[half](), reflect.TypeFor[overriding](), reflect.TypeFor[generic[string]](),
	reflect.TypeFor[rawList](), reflect.TypeFor[syscall.Timeval](), reflect.TypeFor[[0]int](), reflect.TypeFor[[16]byte](), reflect.TypeFor[*os.File](),
}

var keys = []reflect.Type{
	reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[uint8](), reflect.TypeFor[int64](), reflect.TypeFor[level](), reflect.TypeFor[netip.Addr](),
	reflect.TypeFor[twofold](), reflect.TypeFor[time.Duration](),
}

// A generator makes types and values at random.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 0))} }

// aType makes a type. There are but so many, as package reflect never forgets one.
func (g generator) aType(depth int) reflect.Type {
	if depth == 0 {
		return ordinary[g.IntN(len(ordinary))]
	}
	switch g.IntN(7) {
	case 0:
		return reflect.PointerTo(g.aType(depth - 1))
	case 1:
		return reflect.SliceOf(g.aType(depth - 1))
	case 2:
		return reflect.ArrayOf(g.IntN(4), g.aType(depth-1))
	case 3:
		return reflect.MapOf(keys[g.IntN(len(keys))], g.aType(depth-1))
	case 4:
		return g.aType(0)
	}
	var fields []reflect.StructField
	for i := range 1 + g.IntN(4) {
		fields = append(fields, reflect.StructField{Name: "F" + strconv.Itoa(i), Type: g.aType(depth - 1)})
	}
	return reflect.StructOf(fields)
}

// dynamicType is a type of what may be in an interface.
func (g generator) dynamicType(depth int, orAny bool) reflect.Type {
	switch {
	case orAny && g.IntN(4) == 0:
		return reflect.TypeFor[any]()
	case depth == 0 || g.IntN(2) == 0:
		return dynamics[1+g.IntN(len(dynamics)-1)]
	case g.IntN(2) == 0:
		return reflect.SliceOf(g.dynamicType(depth-1, true))
	}
	return reflect.MapOf(reflect.TypeFor[string](), g.dynamicType(depth-1, true))
}

func (g generator) text() string {
	b := make([]byte, g.IntN(8))
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	if g.IntN(200) == 0 {
		return strings.Repeat(string(b), Large/4)
	}
	return string(b)
}

// some returns a number up to 4 of elements; with none left it is 0.
func (g generator) some(depth int) int { return g.IntN(5) * min(depth, 1) }

// fill makes a value.
func (g generator) fill(v reflect.Value, depth int) {
	if special := specials[v.Type()]; special != nil {
		v.Set(reflect.ValueOf(special(g)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(g.IntN(2) == 0)
	case reflect.String:
		v.SetString(g.text())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(g.Uint64() >> g.IntN(64)))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(g.Uint64() >> g.IntN(64))
	case reflect.Float32, reflect.Float64:
		v.SetFloat([]float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), g.NormFloat64()}[g.IntN(6)])
	case reflect.Interface:
		if g.some(depth) > 0 {
			v.Set(g.made(g.dynamicType(3, false), depth-1))
		}
	case reflect.Pointer:
		if g.some(depth) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			g.fill(v.Elem(), depth-1)
		}
	case reflect.Slice:
		if n := g.some(depth); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n-1, n-1))
			for i := range n - 1 {
				g.fill(v.Index(i), depth-1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			g.fill(v.Index(i), depth)
		}
	case reflect.Map:
		if n := g.some(depth); n > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n - 1 {
				v.SetMapIndex(g.made(v.Type().Key(), 0), g.made(v.Type().Elem(), depth-1))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if travels(v.Type().Field(i)) {
				g.fill(v.Field(i), depth)
			}
		}
	}
}

// made returns a value.
func (g generator) made(t reflect.Type, depth int) reflect.Value {
	v := reflect.New(t).Elem()
	g.fill(v, depth)
	return v
}

func travels(f reflect.StructField) bool { return f.IsExported() && f.Tag != `json:"-"` }

// specials make values of types that cannot be filled.
var specials = map[reflect.Type]func(g generator) any{
	timeType: func(g generator) any {
		t := time.Unix(g.Int64N(1<<40)-1<<39, g.Int64N(1e9)).In(time.FixedZone("", g.IntN(86400)-43200))
		if _, offset := t.Zone(); offset/60 == -1 { // which MarshalBinary refuses
			return t.UTC()
		}
		return t
	},
	reflect.TypeFor[json.RawMessage](): func(g generator) any { return json.RawMessage("1" + g.text()) }, // what is empty becomes nil by its own method
	reflect.TypeFor[big.Int]():         func(g generator) any { return *new(big.Int).Lsh(new(big.Int).SetUint64(g.Uint64()), uint(g.IntN(100))) },
	reflect.TypeFor[netip.Addr]():      func(g generator) any { return netip.AddrFrom4([4]byte{byte(g.Uint32()), 1, 2, 3}) },
	reflect.TypeFor[netip.Prefix]():    func(g generator) any { return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(g.Uint32())}), g.IntN(33)) },
	reflect.TypeFor[net.IP]():          func(g generator) any { return net.IPv4(1, 2, 3, byte(g.Uint32())) },
	reflect.TypeFor[url.URL](): func(g generator) any {
		return url.URL{Scheme: "http", User: url.UserPassword("user", "pass word"), Host: "host", Path: "/" + strconv.Itoa(g.IntN(10))}
	},
	reflect.TypeFor[byPointer]():       func(g generator) any { return byPointer{g.IntN(100)} },
	reflect.TypeFor[twofold]():         func(g generator) any { return twofold{g.text()} },
	reflect.TypeFor[overriding]():      func(g generator) any { return overriding{zone: g.text()} },
	reflect.TypeFor[generic[string]](): func(g generator) any { return generic[string]{X: fmt.Sprint(g.IntN(100))} },
	reflect.TypeFor[rawList]():         func(g generator) any { return rawList{"a", fmt.Sprint(g.IntN(10))} },
	reflect.TypeFor[*os.File]():        func(g generator) any { return (*os.File)(nil) },
}

// same tells whether two values of a type are the same, bit by bit.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
	}
	if c := codecOf(a.Type()); c.kind == itself {
		x, _ := c.pair.encode(specs.Pointer(a.Interface()))
		y, _ := c.pair.encode(specs.Pointer(b.Interface()))
		return string(x) == string(y)
	}
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		return math.Float64bits(a.Float()) == math.Float64bits(b.Float())
	case reflect.Pointer, reflect.Interface:
		return a.Elem().Type() == b.Elem().Type() && same(a.Elem(), b.Elem())
	case reflect.Slice, reflect.Array:
		for i := range min(a.Len(), b.Len()) {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return a.Len() == b.Len()
	case reflect.Map:
		for key, elem := range a.Seq2() {
			if other := b.MapIndex(key); !other.IsValid() || !same(elem, other) {
				return false
			}
		}
		return a.Len() == b.Len()
	case reflect.Struct:
		for i := range a.NumField() {
			if travels(a.Type().Field(i)) && !same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}
