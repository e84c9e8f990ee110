package value

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

// encode encodes a value, of which pointer points to a copy.
func encode(pointer any) ([]byte, []*os.File, error) {
	parts, files, err := Encode([][]byte{nil}, pointer)
	return bytes.Join(parts, nil), files, err
}

// mustEncode is encode for what can travel.
func mustEncode(pointer any) []byte {
	GinkgoHelper()
	b, _ := specs.OK2(encode(pointer))
	return b
}

// thereAndBack returns what becomes of a value.
func thereAndBack[T any](sent T) (received T) {
	GinkgoHelper()
	g.Expect(Decode(mustEncode(&sent), nil, &received)).To(g.Succeed())
	return received
}

// expectBack expects a value, sent as one of its own type, to come back as it was.
func expectBack(sent any) {
	GinkgoHelper()
	received := reflect.New(reflect.TypeOf(sent))
	g.Expect(Decode(mustEncode(specs.Pointer(sent)), nil, received.Interface())).To(g.Succeed())
	g.Expect(received.Elem().Interface()).To(g.Equal(sent))
}

var _ = Describe("a value", func() {
	It("replaces what was there before", func() {
		into := struct {
			A, B *int
			C    map[string]int
		}{A: new(int), C: map[string]int{"old": 1}}
		sent := into
		sent.A, sent.B, sent.C = nil, new(int), map[string]int{"new": 2}
		g.Expect(Decode(mustEncode(&sent), nil, &into)).To(g.Succeed())
		g.Expect(into).To(g.Equal(sent))
	})

	DescribeTable("keeps", expectBack,
		Entry("nil and empty slices apart", [][]int{nil, {}}),
		Entry("nil and empty bytes apart", [][]byte{nil, {}}),
		Entry("nil and empty maps apart", []map[string]int{nil, {}}),
		Entry("nil and a pointer to it apart", []**int{nil, new(*int)}),
		Entry("nil and null apart", []json.RawMessage{nil, json.RawMessage("null")}),
		Entry("what has its own methods in a list", []byPointer{{1}, {2}}),
		Entry("what has half a pair of methods, by its fields", half{epoch, "zone"}),
		Entry("what embeds that", within{half{epoch, "zone"}}),
		Entry("what embeds that beside a parameter", parametrized[int]{half{epoch, "zone"}, 5}),
		Entry("what embeds pairs", byOwn{5, twofold{"x"}, 6}),
		Entry("what embeds a pair by pointer", struct {
			*big.Int
			N int
		}{big.NewInt(5), 6}),
		Entry("an interface with methods, if what is in it has them", struct{ M json.Marshaler }{epoch}),
	)

	It("keeps all bits of floats", func() {
		for _, bits := range []uint32{0x7f800001, 0xffc12345, 0x80000000, 1} {
			g.Expect(math.Float32bits(thereAndBack(math.Float32frombits(bits)))).To(g.Equal(bits))
			g.Expect(math.Float32bits(thereAndBack([]float32{math.Float32frombits(bits)})[0])).To(g.Equal(bits))
		}
	})

	DescribeTable("keeps times that JSON cannot", func(t time.Time) {
		got := thereAndBack(t)
		g.Expect(got.Equal(t)).To(g.BeTrue())
		g.Expect(got.Format(time.RFC3339Nano + " Z07:00:00")).To(g.Equal(t.Format(time.RFC3339Nano + " Z07:00:00")))
	},
		Entry(nil, time.Time{}), Entry(nil, time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)), Entry(nil, time.Date(123456, 1, 1, 0, 0, 0, 1, time.UTC)),
		Entry(nil, time.Date(1883, 1, 1, 0, 0, 0, 0, time.FixedZone("", -17762))), Entry(nil, time.Date(1883, 1, 1, 0, 0, 0, 0, time.FixedZone("", 561))),
		Entry(nil, time.Date(2000, 1, 1, 0, 0, 0, 0, time.FixedZone("", -1))), Entry(nil, time.Date(2000, 1, 1, 0, 0, 0, 0, time.FixedZone("", -60*60))),
	)

	It("keeps all entries of a map whose keys are never the same", func() {
		got := thereAndBack(map[nanKey]int{{math.NaN()}: 1, {math.NaN()}: 2, {1}: 3})
		g.Expect(slices.Sorted(maps.Values(got))).To(g.Equal([]int{1, 2, 3}))
	})

	It("is not decoded if it is a map of which entries would be lost, since other keys have become the same", func() {
		here, there := epoch.In(time.FixedZone("here", 3600)), epoch.In(time.FixedZone("there", 3600))
		var got map[time.Time]int
		g.Expect(Decode(mustEncode(&map[time.Time]int{here: 1, there: 2}), nil, &got)).To(g.MatchError("map with keys that their own encoding does not tell apart"))
		g.Expect(got).To(g.BeNil())
		g.Expect(thereAndBack(map[time.Time]int{here: 1, there.Add(1): 2})).To(g.HaveLen(2))
	})

	It("has a shared part twice afterwards", func() {
		part := &list{}
		got := thereAndBack([]*list{part, part})
		g.Expect(got[0]).NotTo(g.BeIdenticalTo(got[1]))
		deep := chainOf(2 * 100)
		expectBack([]*list{deep, deep.Next, deep})
	})

	DescribeTable("in an interface is of the same type", func(value any) {
		g.Expect(thereAndBack(value)).To(g.Equal(value))
		g.Expect(thereAndBack([]any{value, value})).To(g.Equal([]any{value, value}))
	},
		Entry(nil, true), Entry(nil, "caf\xe9"), Entry(nil, 1), Entry(nil, int8(1)), Entry(nil, uint64(math.MaxUint64)), Entry(nil, uintptr(1)),
		Entry(nil, float32(1)), Entry(nil, 1.5), Entry(nil, []byte{1}), Entry(nil, epoch), Entry(nil, []any{nil}), Entry(nil, map[string]any{"": nil}),
		Entry(nil, []int(nil)), Entry(nil, [][]string{{"a"}}), Entry(nil, map[string]map[string][]any{"a": {"b": {1}}}), Entry(nil, [][][]byte(nil)[:0]),
	)

	DescribeTable("in an interface cannot be of any type", func(value any, typ string) {
		for _, pointer := range []any{&value, &map[string]any{"a": []any{value}}} {
			_, _, err := encode(pointer)
			g.Expect(err).To(g.MatchError(typ + " in an interface cannot travel"))
		}
	},
		Entry(nil, time.Second, "time.Duration"), Entry(nil, struct{}{}, "struct {}"), Entry(nil, new(int), "*int"), Entry(nil, os.Stdin, "*os.File"),
		Entry(nil, []*os.File{}, "[]*os.File"), Entry(nil, func() {}, "func()"), Entry(nil, 1i, "complex128"), Entry(nil, map[int]string{}, "map[int]string"),
		Entry(nil, [1]int{}, "[1]int"), Entry(nil, [][][][]int{}, "[][][][]int"), Entry(nil, errors.New("no"), "*errors.errorString"),
	)

	It("in an interface with methods must have them", func() {
		one := any(1)
		g.Expect(Decode(mustEncode(&one), nil, new(json.Marshaler))).To(g.MatchError(errBytes))
	})

	DescribeTable("travels by its own methods, if it has a pair", func(pointer any, encoded string) {
		g.Expect(string(mustEncode(pointer))).To(g.Equal(encoded))
	},
		Entry(nil, &byPointer{5}, "\x015"), Entry(nil, new(level), "\x07level 0"), Entry(nil, &twofold{"x"}, "\x05textx"), Entry(nil, &overriding{zone: "<x>"}, "\x03<x>"),
		Entry(nil, &generic[string]{X: "x"}, "\x03\"x\""), Entry(nil, &rawList{"a", "b"}, "\x01\x03a,b"),
	)

	It("has the fields that are exported, and those of what is embedded", func() {
		sent := &mixed{inner: inner{"name", 1}, Outer: &Outer{2}, secret: &secret{"text"}, Time: epoch, Left: "left", Dash: "dash", Other: []byte("other")}
		got := thereAndBack(sent)
		sent.hidden, sent.Left = 0, ""
		g.Expect(got).To(g.Equal(sent))
	})

	It("says why it cannot travel by its own methods", func() {
		_, _, err := encode(&[]picky{{}})
		g.Expect(err).To(g.And(g.MatchError("value.picky: too bad"), g.MatchError(errPicky)))
		g.Expect(Decode([]byte{1, 'a'}, nil, new(picky))).To(g.Equal(errPicky))
	})
})

var epoch = time.Unix(1, 2).UTC()

type (
	within              struct{ half }
	parametrized[T any] struct {
		half
		X T
	}
	byOwn struct {
		level
		twofold
		N int
	}

	// A nanKey may be unlike itself.
	nanKey struct{ f float64 }
)

func (k nanKey) MarshalText() ([]byte, error)  { return fmt.Append(nil, k.f), nil }
func (k *nanKey) UnmarshalText(b []byte) error { _, err := fmt.Sscan(string(b), &k.f); return err }

type picky struct{ _ int }

var errPicky = errors.New("too bad")

func (picky) MarshalText() ([]byte, error)  { return nil, errPicky }
func (*picky) UnmarshalText(b []byte) error { return errPicky }

// chainOf returns a list of n elements.
func chainOf(n int) (first *list) {
	for range n {
		first = &list{first}
	}
	return first
}

var _ = Describe("a deep value", func() {
	It("arrives, if it is not too deep", func() {
		expectBack(chainOf(maxDepth))
		too := chainOf(maxDepth + 1)
		_, _, err := encode(&too)
		g.Expect(err).To(g.Equal(errDeep))
	})

	It("is not decoded if it is too deep", func() {
		for _, into := range []any{new(*list), new(nest), new(chain), new(tree)} {
			g.Expect(Decode(bytes.Repeat([]byte{1}, 1<<20), nil, into)).To(g.Equal(errDeep), "%T", into)
		}
		nested := append(bytes.Repeat([]byte{1}, maxDepth+1), 0)
		g.Expect(Decode(nested, nil, new(*list))).To(g.Equal(errDeep))
	})

	It("is an error if it contains itself, also where it is large", func() {
		loop := &list{&list{}}
		loop.Next.Next = loop
		slice := nest{nil, nil}
		slice[1] = slice
		m := named{}
		m["a"] = named{"b": m}
		var pointer chain
		pointer = &pointer
		something := []any{1, nil}
		something[1] = map[string]any{"a": something}
		parent := &family{Name: strings.Repeat("x", Large-1)}
		parent.Kids = []*family{{Parent: parent}, {Parent: parent}}
		for _, value := range []any{&loop, &slice, &m, &pointer, &something, &parent} {
			_, _, err := encode(value)
			g.Expect(err).To(g.Equal(errItself), "%T", value)
			g.Expect(Files(value)).To(g.BeEmpty())
		}
	})
})

// A family knows its parent.
type family struct {
	Name   string
	Parent *family
	Kids   []*family
}

// measured returns how many bytes of memory f takes.
func measured(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

var _ = Describe("bytes that are no value", func() {
	DescribeTable("take memory in proportion", func(into any, b []byte) {
		g.Expect(measured(func() { g.Expect(Decode(b, nil, into)).NotTo(g.Succeed()) })).To(g.BeNumerically("<", 3*(maxRatio*len(b)+someMore)))
		g.Expect(reflect.ValueOf(into).Elem().IsZero()).To(g.BeTrue())
	},
		Entry("many elements", new([]string), []byte("\x01\xff\xff\xff\xff\x7f")),
		Entry("more than can be counted", new([]string), bytes.Repeat([]byte{0xff}, 20)),
		Entry("as many as there are numbers", new([]int64), []byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01")),
		Entry("many entries", new(map[string]int), []byte("\x01\xff\xff\xff\xff\xff\xff\x7f")),
		Entry("many of no size", new([]struct{}), []byte("\x01\xff\xff\xff\xff\xff\xff\xff\x7f")),
		Entry("a long string", new(string), []byte("\xff\xff\xff\xff\x7f")),
		Entry("many bytes", new([]byte), []byte("\x01\xff\xff\xff\xff\x7f")),
		Entry("slices in slices, each as long as what follows", new(nest), bytes.Repeat([]byte{1, 0x80, 0x80, 0x04}, 1<<18)),
		Entry("large structs behind each other", new(*large), bytes.Repeat([]byte{1}, 5000)),
		Entry("large structs beside each other", new([]large), append([]byte{1, 0x80, 0x80, 0x04}, make([]byte, 1<<16)...)),
		Entry("what encodes itself", new([]bulky), append([]byte{1, 0x80, 0x80, 0x04}, make([]byte, 1<<16)...)),
		Entry("an interface of an unknown type", new(any), []byte{0xff, 1}),
		Entry("an interface of strange types", new([]any), append([]byte{1, 0x80, 0x04}, bytes.Repeat([]byte{0xfe, 1, 1, 1}, 1<<10)...)),
	)

	It("are an error", func() {
		for _, into := range []any{new(bool), new(int), new(string), new(*int), new([]int), new([2]string), new(any), new(struct{}), new(time.Time), new(*os.File)} {
			g.Expect(Decode(nil, nil, into)).To(g.Equal(errBytes), "%T", into)
		}
		g.Expect(Decode([]byte{0, 0}, nil, new(struct{}))).To(g.Equal(errBytes), "too many")
		g.Expect(Decode([]byte{0}, nil, new(chan int))).To(g.MatchError("chan int cannot travel"))
	})
})

// A bulky value takes a byte on its way.
type bulky struct{ _ [1 << 20]byte }

func (bulky) MarshalText() ([]byte, error)  { return nil, nil }
func (*bulky) UnmarshalText(b []byte) error { return nil }

var _ = Describe("memory", func() {
	It("of what is large is shared with the value that is encoded, and that of the rest is not", func() {
		value := struct {
			A []byte
			B string
			C []byte
		}{bytes.Repeat([]byte("a"), Large), strings.Repeat("b", Large), bytes.Repeat([]byte("c"), Large-1)}
		head := append(make([]byte, 0, 100), "head"...)
		parts, _ := specs.OK2(Encode([][]byte{[]byte("other"), head}, &value))
		g.Expect(parts).To(g.HaveLen(6))
		g.Expect(string(parts[0]) + string(parts[1][:4])).To(g.Equal("otherhead"))
		g.Expect(&parts[1][0]).To(g.BeIdenticalTo(&head[0]), "the memory is used that there is")
		g.Expect(&parts[2][0]).To(g.BeIdenticalTo(&value.A[0]))
		g.Expect(&parts[4][0]).To(g.BeIdenticalTo(unsafe.StringData(value.B)))
		got := value
		g.Expect(Decode(bytes.Join(parts, nil)[9:], nil, &got)).To(g.Succeed())
		g.Expect(got).To(g.Equal(value))
	})

	DescribeTable("of what arrives is shared with the value, if that is most of it", func(size, more int, shared bool) {
		value := struct{ A, B []byte }{bytes.Repeat([]byte("a"), size), make([]byte, more)}
		b := mustEncode(&value)
		g.Expect(Decode(b, nil, &value)).To(g.Succeed())
		clear(b)
		g.Expect(value.A[size/2] == 0).To(g.Equal(shared))
		g.Expect(cap(value.A)-len(value.A)).To(g.BeNumerically("<", size/4), "nobody appends to what is behind it")
		text := struct{ A, B string }{strings.Repeat("a", size), strings.Repeat("b", more)}
		b = mustEncode(&text)
		g.Expect(Decode(b, nil, &text)).To(g.Succeed())
		clear(b)
		g.Expect(text.A[size/2] == 0).To(g.Equal(shared))
	},
		Entry("all", Large, 0, true),
		Entry("most", Large, Large-10, true),
		Entry("half", Large, Large, false),
		Entry("little", Large-1, 0, false),
	)

	It("for a value that is not large is only what it needs", func() {
		type small struct {
			A int
			B string
			C bool
		}
		value, got := small{1, "b", true}, small{}
		parts := [][]byte{make([]byte, 0, 100)}
		mustEncode(&value)
		g.Expect(testing.AllocsPerRun(100, func() { _, _, _ = Encode(parts, &value) })).To(g.BeZero())
		b := mustEncode(&value)
		g.Expect(testing.AllocsPerRun(100, func() { _ = Decode(b, nil, &got) })).To(g.Equal(1.0), "the string")
	})
})

var _ = It("a type may be used the first time by many goroutines", func() {
	type a struct {
		B    *struct{ C []*a }
		File *os.File
	}
	type b struct{ A map[string]a }
	types := []reflect.Type{reflect.TypeFor[a](), reflect.TypeFor[b](), reflect.TypeFor[[]b](), reflect.TypeFor[map[int]*a]()}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			defer GinkgoRecover()
			g.Expect(Check(types[i%len(types)], io.Discard)).To(g.Succeed())
			mustEncode(&b{map[string]a{"a": {}}})
		})
	}
	all.Wait()
})
