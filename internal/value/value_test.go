package value

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"

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
	b, _, err := encode(pointer)
	g.Expect(err).NotTo(g.HaveOccurred())
	return b
}

// thereAndBack returns what becomes of a value.
func thereAndBack[T any](sent T) (received T) {
	GinkgoHelper()
	g.Expect(Decode(mustEncode(&sent), nil, &received)).To(g.Succeed())
	return received
}

var _ = Describe("a value", func() {

	for i, t := range ordinary {
		It("arrives as it was sent: "+t.String(), func() {
			for _, typ := range []reflect.Type{t, reflect.SliceOf(t), reflect.MapOf(keys[i%len(keys)], t), reflect.PointerTo(reflect.PointerTo(t))} {
				for seed := range uint64(30) {
					sent, received := reflect.New(typ), reflect.New(typ)
					newGenerator(seed).fill(sent.Elem(), 4)
					g.Expect(Decode(mustEncode(sent.Interface()), nil, received.Interface())).To(g.Succeed())
					g.Expect(same(sent.Elem(), received.Elem())).To(g.BeTrue(), "%#v has become %#v", sent.Elem(), received.Elem())
				}
			}
		})
	}

	It("arrives as it would in JSON, where that keeps it", func() {
		type fields struct {
			A int
			B *string
			C []uint16
			D map[string]bool
			E struct{ F float64 }
			G []byte
			H time.Time
			I *big.Int
			J json.Number
			K [2]int8
			L map[int][]string
			M any
			N *fields
		}
		for n := range 300 {
			text := strings.Repeat("é", n)
			sent := fields{A: -n, B: &text, C: make([]uint16, n%3), D: map[string]bool{text: n%2 == 0}, G: []byte(text), H: time.Unix(int64(n), 5).UTC(),
				I: new(big.Int).Lsh(big.NewInt(3), uint(n)), J: "1.50", K: [2]int8{1: int8(n)}, L: map[int][]string{n: {text, ""}, 0: nil},
				M: []any{text, float64(n), nil, map[string]any{text: true}}, N: &fields{I: big.NewInt(1), J: "0"}}
			sent.E.F = float64(n) / 3
			encoded, err := json.Marshal(sent)
			g.Expect(err).NotTo(g.HaveOccurred())
			var byJSON fields
			g.Expect(json.Unmarshal(encoded, &byJSON)).To(g.Succeed())
			g.Expect(thereAndBack(sent)).To(g.Equal(byJSON))
		}
	})

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

	It("keeps nil and empty apart", func() {
		g.Expect(thereAndBack([][]int{nil, {}})).To(g.Equal([][]int{nil, {}}))
		g.Expect(thereAndBack([][]byte{nil, {}})).To(g.Equal([][]byte{nil, {}}))
		g.Expect(thereAndBack([]map[string]int{nil, {}})).To(g.Equal([]map[string]int{nil, {}}))
		g.Expect(thereAndBack([]**int{nil, new(*int)})).To(g.Equal([]**int{nil, new(*int)}))
		g.Expect(thereAndBack([]json.RawMessage{nil, json.RawMessage("null")})).To(g.Equal([]json.RawMessage{nil, json.RawMessage("null")}))
	})

	It("keeps all bits of floats", func() {
		for _, bits := range []uint32{0x7f800001, 0xffc12345, 0x80000000, 1} {
			g.Expect(math.Float32bits(thereAndBack(math.Float32frombits(bits)))).To(g.Equal(bits))
			g.Expect(math.Float32bits(thereAndBack([]float32{math.Float32frombits(bits)})[0])).To(g.Equal(bits))
		}
	})

	It("keeps times that JSON cannot", func() {
		for _, t := range []time.Time{
			time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(123456, 1, 1, 0, 0, 0, 1, time.UTC), {},
			time.Date(1883, 1, 1, 0, 0, 0, 0, time.FixedZone("", -17762)), time.Date(1883, 1, 1, 0, 0, 0, 0, time.FixedZone("", 561)),
			time.Date(2000, 1, 1, 0, 0, 0, 0, time.FixedZone("", -1)), time.Date(2000, 1, 1, 0, 0, 0, 0, time.FixedZone("", -60*60)),
		} {
			got := thereAndBack(t)
			g.Expect(got.Equal(t)).To(g.BeTrue())
			g.Expect(got.Format(time.RFC3339Nano + " Z07:00:00")).To(g.Equal(t.Format(time.RFC3339Nano + " Z07:00:00")))
		}
	})

	It("keeps all entries of a map whose keys are never the same", func() {
		m := map[nanKey]int{{math.NaN()}: 1, {math.NaN()}: 2, {1}: 3}
		got := thereAndBack(m)
		g.Expect(got).To(g.HaveLen(3))
		sum := 0
		for _, n := range got {
			sum += n
		}
		g.Expect(sum).To(g.Equal(6))
	})

	It("has a shared part twice afterwards", func() {
		part := &list{}
		got := thereAndBack([]*list{part, part})
		g.Expect(got[0]).NotTo(g.BeIdenticalTo(got[1]))
		deep := chainOf(2 * 100)
		g.Expect(thereAndBack([]*list{deep, deep.Next, deep})).To(g.Equal([]*list{deep, deep.Next, deep}))
	})

	DescribeTable("in an interface is of the same type", func(value any) {
		g.Expect(thereAndBack(value)).To(g.Equal(value))
		g.Expect(thereAndBack([]any{value, value})).To(g.Equal([]any{value, value}))
	},
		Entry(nil, true), Entry(nil, "caf\xe9"), Entry(nil, 1), Entry(nil, int8(1)), Entry(nil, uint64(math.MaxUint64)), Entry(nil, uintptr(1)),
		Entry(nil, float32(1)), Entry(nil, 1.5), Entry(nil, []byte{1}), Entry(nil, time.Unix(1, 2).UTC()), Entry(nil, []any{nil}), Entry(nil, map[string]any{"": nil}),
		Entry(nil, []int(nil)), Entry(nil, [][]string{{"a"}}), Entry(nil, map[string]map[string][]any{"a": {"b": {1}}}), Entry(nil, [][][]byte(nil)[:0]),
	)

	DescribeTable("in an interface cannot be of any type", func(value any, message string) {
		_, _, err := encode(&value)
		g.Expect(err).To(g.MatchError(message))
		_, _, err = encode(&map[string]any{"a": []any{value}})
		g.Expect(err).To(g.MatchError(message))
	},
		Entry(nil, time.Second, "time.Duration in an interface cannot travel"),
		Entry(nil, struct{}{}, "struct {} in an interface cannot travel"),
		Entry(nil, new(int), "*int in an interface cannot travel"),
		Entry(nil, os.Stdin, "*os.File in an interface cannot travel"),
		Entry(nil, []*os.File{}, "[]*os.File in an interface cannot travel"),
		Entry(nil, func() {}, "func() in an interface cannot travel"),
		Entry(nil, 1i, "complex128 in an interface cannot travel"),
		Entry(nil, map[int]string{}, "map[int]string in an interface cannot travel"),
		Entry(nil, [1]int{}, "[1]int in an interface cannot travel"),
		Entry(nil, [][][][]int{}, "[][][][]int in an interface cannot travel"),
		Entry(nil, errors.New("no"), "*errors.errorString in an interface cannot travel"),
	)

	It("in an interface with methods must have them", func() {
		g.Expect(thereAndBack(struct{ M json.Marshaler }{time.Unix(1, 2).UTC()}).M).To(g.Equal(time.Unix(1, 2).UTC()))
		one := any(1)
		g.Expect(Decode(mustEncode(&one), nil, new(json.Marshaler))).To(g.MatchError(errBytes))
	})

	It("travels by its own methods, if it has a pair", func() {
		g.Expect(string(mustEncode(&byPointer{5}))).To(g.Equal("\x025"))
		g.Expect(string(mustEncode(new(level)))).To(g.Equal("\x08level 0"))
		g.Expect(string(mustEncode(&twofold{"x"}))).To(g.Equal("\x06textx"))
		g.Expect(string(mustEncode(&overriding{zone: "<x>"}))).To(g.Equal("\x04<x>"))
		g.Expect(string(mustEncode(&generic[string]{X: "x"}))).To(g.Equal("\x04\"x\""))
		g.Expect(string(mustEncode(&rawList{"a", "b"}))).To(g.Equal("\x04a,b"))
		g.Expect(thereAndBack([]byPointer{{1}, {2}})).To(g.Equal([]byPointer{{1}, {2}}))
	})

	It("travels by its fields, if it has but half a pair, or one from what is embedded", func() {
		now := time.Unix(1, 2).UTC()
		g.Expect(thereAndBack(half{now, "zone"})).To(g.Equal(half{now, "zone"}))
		g.Expect(thereAndBack(struct {
			*big.Int
			N int
		}{big.NewInt(5), 6}).N).To(g.Equal(6))
		type within struct{ half }
		g.Expect(thereAndBack(within{half{now, "zone"}})).To(g.Equal(within{half{now, "zone"}}))
		type parametrized[T any] struct {
			half
			X T
		}
		g.Expect(thereAndBack(parametrized[int]{half{now, "zone"}, 5})).To(g.Equal(parametrized[int]{half{now, "zone"}, 5}))
		type byOwn struct {
			level
			twofold
			N int
		}
		g.Expect(thereAndBack(byOwn{5, twofold{"x"}, 6})).To(g.Equal(byOwn{5, twofold{"x"}, 6}))
	})

	It("has the fields that are exported, and those of what is embedded", func() {
		sent := &mixed{inner: inner{"name", 1}, Outer: &Outer{2}, secret: &secret{"text"}, Time: time.Unix(1, 2).UTC(), Left: "left", Dash: "dash", Other: []byte("other")}
		got := thereAndBack(sent)
		sent.hidden, sent.Left = 0, ""
		g.Expect(got).To(g.Equal(sent))
	})

	It("says why it cannot travel by its own methods", func() {
		_, _, err := encode(&[]picky{{}})
		g.Expect(err).To(g.MatchError("value.picky: too bad"))
		g.Expect(errors.Is(err, errPicky)).To(g.BeTrue())
		g.Expect(Decode([]byte{2, 'a'}, nil, new(picky))).To(g.Equal(errPicky))
	})

})

// A nanKey may be unlike itself.
type nanKey struct{ f float64 }

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
		depth := 0
		for l := thereAndBack(chainOf(maxDepth)); l != nil; l = l.Next {
			depth++
		}
		g.Expect(depth).To(g.Equal(maxDepth))
		too := chainOf(maxDepth + 1)
		_, _, err := encode(&too)
		g.Expect(err).To(g.Equal(errDeep))
	})

	It("is not decoded if it is too deep", func() {
		for _, into := range []any{new(*list), new(nest), new(chain), new(tree)} {
			g.Expect(Decode(bytes.Repeat([]byte{2}, 1<<20), nil, into)).NotTo(g.Succeed())
			g.Expect(Decode(bytes.Repeat([]byte{1}, 1<<20), nil, into)).NotTo(g.Succeed())
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
		g.Expect(measured(func() {
			g.Expect(Decode(b, nil, into)).NotTo(g.Succeed())
		})).To(g.BeNumerically("<", 3*(maxRatio*len(b)+someMore)))
		g.Expect(reflect.ValueOf(into).Elem().IsZero()).To(g.BeTrue())
	},
		Entry("many elements", new([]string), []byte("\xff\xff\xff\xff\x7f")),
		Entry("more than can be counted", new([]string), bytes.Repeat([]byte{0xff}, 20)),
		Entry("as many as there are numbers", new([]int64), append([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 1)),
		Entry("many entries", new(map[string]int), []byte("\xff\xff\xff\xff\x7f")),
		Entry("many of no size", new([]struct{}), []byte("\xff\xff\xff\xff\xff\xff\xff\x7f")),
		Entry("a long string", new(string), []byte("\xff\xff\xff\xff\x7f")),
		Entry("many bytes", new([]byte), []byte("\xff\xff\xff\xff\x7f")),
		Entry("slices in slices, each as long as what follows", new(nest), bytes.Repeat([]byte{0x80, 0x80, 0x04}, 1<<18)),
		Entry("large structs behind each other", new(*large), bytes.Repeat([]byte{1}, 5000)),
		Entry("large structs beside each other", new([]large), append([]byte{0x80, 0x80, 0x04}, make([]byte, 1<<16)...)),
		Entry("what encodes itself", new([]bulky), append([]byte{0x80, 0x80, 0x04}, make([]byte, 1<<16)...)),
		Entry("an interface of an unknown type", new(any), []byte{0xff, 1}),
		Entry("an interface of strange types", new([]any), bytes.Repeat([]byte{0xfe, 1}, 1<<10)),
	)

	It("are an error", func() {
		for _, into := range []any{new(bool), new(int), new(string), new(*int), new([]int), new([2]string), new(any), new(struct{}), new(time.Time), new(*os.File)} {
			g.Expect(Decode(nil, nil, into)).To(g.Equal(errBytes), "%T", into)
		}
		g.Expect(Decode([]byte{0, 0}, nil, new(struct{}))).To(g.Equal(errBytes), "too many")
		g.Expect(Decode([]byte{0}, nil, new(byPointer))).To(g.Equal(errBytes), "nil, which it cannot be")
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
		parts, _, err := Encode([][]byte{[]byte("other"), head}, &value)
		g.Expect(err).NotTo(g.HaveOccurred())
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
		g.Expect(int(testingAllocs(func() { _, _, _ = Encode(parts, &value) }))).To(g.BeZero())
		b := mustEncode(&value)
		g.Expect(int(testingAllocs(func() { _ = Decode(b, nil, &got) }))).To(g.Equal(1), "the string")
	})

})

// testingAllocs is [testing.AllocsPerRun].
func testingAllocs(f func()) float64 {
	const runs = 100
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return math.Floor(float64(after.Mallocs-before.Mallocs) / runs)
}

var _ = Describe("a type that is used the first time", func() {

	It("is so by many goroutines", func() {
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
				files, err := Check(types[i%len(types)])
				g.Expect(err).NotTo(g.HaveOccurred())
				g.Expect(files).To(g.BeTrue())
				_, _, err = encode(&b{map[string]a{"a": {}}})
				g.Expect(err).NotTo(g.HaveOccurred())
			})
		}
		all.Wait()
	})

})
