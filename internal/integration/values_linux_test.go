package integration

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	goreflect "reflect"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

type (
	level     int
	directory map[string]int64
	chained   struct{ Next *chained }
	nestling  []nestling

	// withMethods has them by its pointer.
	withMethods struct{ secret string }

	// stamped embeds what encodes itself.
	stamped struct {
		time.Time
		By   string
		File *os.File
	}

	hidden struct{ Seen string }

	// An assortment has fields of all types that travel.
	assortment struct {
		Bool    bool
		Int     int
		Int8    int8
		Int16   int16
		Int32   int32
		Int64   int64
		Uint    uint
		Uint8   uint8
		Uint16  uint16
		Uint32  uint32
		Uint64  uint64
		Uintptr uintptr
		Float32 float32
		Float64 float64
		String  string
		Rune    rune

		Named    level
		Duration time.Duration
		Mode     os.FileMode
		Errno    syscall.Errno
		Number   json.Number

		Bytes      []byte
		Raw        json.RawMessage
		Strings    []string
		Bools      []bool
		Ints       []int
		Int8s      []int8
		Floats     []float64
		Times      []time.Time
		Pointers   []*int
		Nested     [][]string
		Structs    []stamped
		Nothing    []struct{}
		Anything   []any
		Array      [3]string
		Hash       [32]byte
		Grid       [2][2]float32
		None       [0]int
		Directory  directory
		ByInt      map[int]string
		ByByte     map[uint8][]byte
		ByLevel    map[level]level
		ByAddr     map[netip.Addr]bool
		ByTime     map[time.Duration]struct{}
		Deep       map[string]map[string][]int
		ToPointer  map[string]*string
		ToAnything map[string]any

		Pointer *int
		Twice   **string
		Chain   *chained
		Nest    nestling
		Struct  struct{ A, B int }
		Empty   struct{}
		Any     any
		NilAny  any

		Time   time.Time
		URL    url.URL
		URLs   []*url.URL
		Big    big.Int
		BigPtr *big.Int
		Rat    *big.Rat
		Addr   netip.Addr
		Prefix netip.Prefix
		IP     net.IP
		IPNet  *net.IPNet
		Own    withMethods
		OwnPtr *withMethods

		NilBytes, EmptyBytes []byte
		NilMap, EmptyMap     map[string]int
		NilSlice, EmptySlice []string

		stamped
		*hidden
		sync.Mutex
		Left   string `json:"-"`
		Dash   string `json:"-,"` //lint:ignore SA5008 this is the name "-"
		Tagged string `json:"other,omitempty"`
	}
)

func (w *withMethods) MarshalBinary() ([]byte, error) { return []byte(w.secret), nil }
func (w *withMethods) UnmarshalBinary(b []byte) error { w.secret = string(b); return nil }

// newAssortment fills an assortment.
func newAssortment() *assortment {
	one, text, hour := 1, "caf\xe9", time.FixedZone("", -5*3600-90)
	a := &assortment{Bool: true, Int: math.MinInt, Int8: -128, Int16: -32768, Int32: math.MinInt32, Int64: math.MinInt64, Uint: math.MaxUint, Uint8: 255,
		Uint16: 65535, Uint32: math.MaxUint32, Uint64: math.MaxUint64, Uintptr: 1, Float32: math.MaxFloat32, Float64: math.SmallestNonzeroFloat64,
		String: "a\x00<&>\u2028\xff" + strings.Repeat("x", 1<<10), Rune: 'é', Named: 1 << 30, Duration: time.Hour, Mode: os.ModeDir | 0o755, Errno: syscall.ENOENT,
		Number: "1e400"}
	a.Bytes, a.Raw, a.Strings, a.Bools = []byte{0, 255}, json.RawMessage(` {"a": 1} `), []string{"", text}, []bool{true, false}
	a.Ints, a.Int8s, a.Floats = []int{0, -1}, []int8{-1}, []float64{math.Inf(1), math.Inf(-1), math.Copysign(0, -1)}
	a.Times = []time.Time{time.Unix(0, 1).UTC(), time.Date(12345, 1, 2, 3, 4, 5, 6, hour), {}}
	a.Pointers, a.Nested, a.Structs = []*int{&one, nil}, [][]string{nil, {}, {text}}, []stamped{{By: "me"}, {Time: time.Unix(1, 0).UTC()}}
	a.Nothing, a.Array, a.Hash, a.Grid = make([]struct{}, 3), [3]string{1: text}, [32]byte{1: 2}, [2][2]float32{{1, 2}, {3, 4}}
	a.Anything = []any{nil, true, 1, int8(2), uint64(math.MaxUint64), float32(1.5), text, []byte(text), time.Unix(5, 6).UTC(), []any{1, "x", nil},
		map[string]any{text: []int64{1}}, [][]string{{text}}, map[string][]byte{"a": nil}, []map[string]int{{text: 1}}, uintptr(3), []time.Time{{}}}
	a.Directory = directory{"caf\xe9": 1, "caf\xe8": 2, "": 3, "\ufffd": 4}
	a.ByInt, a.ByByte, a.ByLevel = map[int]string{-1: "a", 1 << 30: ""}, map[uint8][]byte{1: {1}, 2: nil}, map[level]level{1: 2}
	a.ByAddr = map[netip.Addr]bool{netip.MustParseAddr("fe80::1%eth0"): true}
	a.ByTime, a.Deep = map[time.Duration]struct{}{1: {}}, map[string]map[string][]int{"a": nil, "b": {"c": {}}}
	a.ToPointer, a.ToAnything = map[string]*string{"a": &text, "b": nil}, map[string]any{text: int16(1), "": map[string]any{}}
	pointer := &text
	a.Pointer, a.Twice, a.Chain, a.Nest = &one, &pointer, &chained{&chained{}}, nestling{nil, {}, {{}}}
	a.Struct.B, a.Any = 2, map[string]uint8{"a": 1}
	a.Time = time.Date(2026, 1, 2, 3, 4, 5, 6, hour)
	a.URL = url.URL{Scheme: "http", User: url.UserPassword("u", "p:p"), Host: "h:1", Path: "/a b", RawQuery: "q=1"}
	a.URLs = []*url.URL{&a.URL, nil}
	a.Big.Lsh(big.NewInt(3), 200)
	a.BigPtr, a.Rat = big.NewInt(-5), big.NewRat(1, 3)
	a.Addr, a.Prefix, a.IP = netip.MustParseAddr("1.2.3.4"), netip.MustParsePrefix("10.0.0.0/8"), net.IPv4(1, 2, 3, 4)
	a.IPNet = &net.IPNet{IP: net.IP{10, 0, 0, 0}.To16(), Mask: net.IPMask{255, 0, 0, 0}}
	a.Own, a.OwnPtr = withMethods{"secret"}, &withMethods{"\xff"}
	a.EmptyBytes, a.EmptyMap, a.EmptySlice = []byte{}, map[string]int{}, []string{}
	a.stamped, a.hidden, a.Dash, a.Tagged = stamped{time.Unix(7, 8).UTC(), "embedded", nil}, &hidden{"seen"}, "dash", "tagged"
	return a
}

var (
	assorting = reexec.RegisterFunc("assorting", func(a *assortment) (*assortment, error) { return a, nil })
	assorted  = reexec.RegisterStream("assorted", func(_ context.Context, a *assortment, yield func(*assortment) bool) error {
		yield(a)
		yield(&assortment{})
		return nil
	})
	floating = reexec.RegisterFunc("floating", func(f []float64) ([]float64, error) { return f, nil })
	slurping = reexec.RegisterFunc("slurping", func(b []byte) ([]byte, error) { return b, nil })
	standing = reexec.RegisterFunc("standing", func(open bool) ([]*os.File, error) {
		if open {
			_, err := os.Stdout.Stat()
			_, errErr := os.Stderr.Stat()
			return nil, errors.Join(err, errErr)
		}
		return []*os.File{os.Stdin, os.Stdout, os.Stderr}, nil
	})
)

// changing has other types in a program that is built anew.
var changing reexec.Func[int, int]

func init() {
	if os.Getenv("SPECS_BUILT_ANEW") != "" {
		reexec.RegisterFunc("changing", func(s string) (int, error) { return len(s), nil })
	} else {
		changing = reexec.RegisterFunc("changing", func(n int) (int, error) { return n, nil })
	}
}

var _ = Describe("values", func() {
	// expectSame compares field by field, since an assortment is large.
	expectSame := func(got, sent *assortment) {
		GinkgoHelper()
		a, b := goreflect.ValueOf(got).Elem(), goreflect.ValueOf(sent).Elem()
		for i := range a.NumField() {
			if f := a.Type().Field(i); f.IsExported() {
				x, y := a.Field(i).Interface(), b.Field(i).Interface()
				Expect(goreflect.DeepEqual(x, y)).To(BeTrue(), "%s: %#v is not %#v", f.Name, x, y)
			}
		}
		Expect(got.stamped).To(Equal(sent.stamped))
		Expect(got.hidden).To(Equal(sent.hidden))
	}

	It("arrive as they were sent", func() {
		for _, by := range ways[*assortment, *assortment]() {
			sent := newAssortment()
			got := must(by(assorting, sent))
			expectSame(got, sent)
			Expect(by(assorting, &assortment{})).To(Equal(&assortment{}))
			Expect(by(assorting, nil)).To(BeNil())
		}
	})

	It("arrive as they were sent, as events", func() {
		sent := newAssortment()
		var got []*assortment
		for event, err := range assorted.Call(background, sent) {
			Expect(err).NotTo(HaveOccurred())
			got = append(got, event)
		}
		Expect(got).To(HaveLen(2))
		expectSame(got[0], sent)
		expectSame(got[1], &assortment{})
	})

	It("that are left out stay behind", func() {
		got := must(assorting.Call(background, &assortment{Left: "left"}))
		Expect(got.Left).To(BeEmpty())
	})

	It("keep the bits of what is no number", func() {
		sent := []float64{math.NaN(), math.Float64frombits(0x7ff0000000000001), math.Copysign(math.NaN(), -1)}
		got := must(floating.Call(background, sent))
		for i := range sent {
			Expect(math.Float64bits(got[i])).To(Equal(math.Float64bits(sent[i])))
		}
	})

	It("that are large may be changed as soon as a call has returned", func() {
		w := start(slurping)
		value := make([]byte, 8<<20)
		for i := range byte(3) {
			value[0], value[len(value)-1] = i, i
			got := must(w.Call(background, value))
			Expect(len(got) == len(value) && got[0] == i && got[len(got)-1] == i).To(BeTrue())
			got[1]++ // is nobody else's
		}
		Expect(syscall.Kill(w.PID(), syscall.SIGSTOP)).To(Succeed()) // then it does not read the value
		ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
		defer cancel()
		Expect(w.Call(ctx, value)).Error().To(MatchError(context.DeadlineExceeded))
		for i := range value {
			value[i]++ // which the race detector watches
		}
	})

	It("never close stdin, stdout and stderr of a child", func() {
		w := start(standing)
		for range 2 {
			files := must(w.Call(background, false))
			Expect(files).To(HaveLen(3))
			for _, f := range files {
				Expect(f.Close()).To(Succeed())
			}
			Expect(w.Call(background, true)).To(BeEmpty())
		}
	})

	It("are not misunderstood by a child whose program has been replaced", func() {
		anew := reexec.Environment([]string{"SPECS_BUILT_ANEW=1"})
		for _, by := range ways[int, int]() {
			Expect(by(changing, 5)).To(Equal(5))
			_, err := by(changing, 5, anew)
			Expect(asActionError(err)).To(MatchError(ContainSubstring("child is another program than its parent: its executable has been replaced")))
		}
	})
})
