package value

import (
	"bytes"
	"encoding"
	"encoding/json"
	"hash/fnv"
	"io"
	"net"
	"os"
	"reflect"
	"sync"
	"time"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

type (
	unexported struct{ Hidden *os.File }
	Exported   struct{ In *os.File }

	// itselfOnly has nothing but itself.
	itselfOnly struct{ *itselfOnly }

	halfKey struct{ _ int }
	Mutex   struct{ sync.Mutex }
	bad     struct {
		Next *bad
		Bad  chan int
	}
)

func (halfKey) MarshalText() ([]byte, error) { return nil, nil }

var _ = DescribeTable("types that travel", func(value any) {
	g.Expect(Check(reflect.TypeOf(value).Elem(), io.Discard)).To(g.Succeed())
},
	Entry("a number", new(int)),
	Entry("bytes", new([]byte)),
	Entry("anything", new(any)),
	Entry("what encodes itself", new(overriding)),
	Entry("a time", new(time.Time)),
	Entry("nothing at all", new(struct{})),
	Entry("an unexported channel beside another field", new(struct {
		A int
		c chan int
	})),
	Entry("a channel left out", new(struct {
		A int
		C chan int `json:"-"`
	})),
	Entry("an embedded mutex", new(struct {
		sync.Mutex
		A int
	})),
	Entry("an interface of what encodes itself", new(struct{ M encoding.TextMarshaler })),
	Entry("a map with keys that encode themselves", new(map[twofold]int)),
	Entry("a file", new(*os.File)),
	Entry("a pointer to one", new(**os.File)),
	Entry("an embedded one", new(struct{ *os.File })),
	Entry("an array of them", new([2]*os.File)),
	Entry("a map of them", new(map[uint8][]*os.File)),
	Entry("in a recursive type", new(pong)),
	Entry("in a recursive type, from its other end", new(ping)),
	Entry("in an embedded type", new(struct{ unexported })),
	Entry("in an embedded pointer", new(struct{ *unexported })),
	Entry("behind what has none", new(struct {
		A int
		B map[string]*struct{ C **os.File }
		D int
	})),
)

var _ = DescribeTable("types that cannot travel", func(value any, message string) {
	for range 2 { // nothing is remembered of them
		g.Expect(Check(reflect.TypeOf(value).Elem(), io.Discard)).To(g.MatchError(message))
	}
},
	Entry("a channel", new(chan int), "chan int cannot be encoded"),
	Entry("a function, deep within", new(map[string][]*struct{ A struct{ B [1]func() } }),
		`map[string][]*struct { A struct { B [1]func() } }.A.B is of type func(), which cannot be encoded; json:"-" leaves the field behind`),
	Entry("a complex number", new(struct{ C complex64 }),
		`struct { C complex64 }.C is of type complex64, which cannot be encoded; json:"-" leaves the field behind`),
	Entry("a pointer", new(struct{ P unsafe.Pointer }),
		`struct { P unsafe.Pointer }.P is of type unsafe.Pointer, which cannot be encoded; json:"-" leaves the field behind`),
	Entry("an error", new(error), "error is an interface with methods, so the type of what is in it is not known; send its text"),
	Entry("errors", new([]error), "[]error is of type error, which is an interface with methods, so the type of what is in it is not known; send its text"),
	Entry("an error in a field", new(struct{ Err error }), "struct { Err error }.Err is of type error, "+
		`which is an interface with methods, so the type of what is in it is not known; send its text; json:"-" leaves the field behind`),
	Entry("a reader", new(io.Reader), "io.Reader is an interface with methods, so the type of what is in it is not known"),
	Entry("strange keys", new(struct{ M map[float64]int }), "struct { M map[float64]int }.M is of type map[float64]int, "+
		`which has keys that are neither strings nor integers, nor encode themselves as text; json:"-" leaves the field behind`),
	Entry("keys that cannot be decoded", new(map[halfKey]int),
		"map[value.halfKey]int has keys that are neither strings nor integers, nor encode themselves as text"),
	Entry("a file by value", new(struct{ F os.File }), "struct { F os.File }.F is of type os.File, "+
		`which is an open file by value; send a pointer to it; json:"-" leaves the field behind`),
	Entry("an embedded file by value", new(struct{ os.File }), "struct { os.File }.File is of type os.File, "+
		`which is an open file by value; send a pointer to it; json:"-" leaves the field behind`),
	Entry("a mutex", new(struct{ Mu sync.Mutex }), "struct { Mu sync.Mutex }.Mu is of type sync.Mutex, "+
		`which has no exported fields, nor methods such as MarshalText and UnmarshalText; json:"-" leaves the field behind`),
	Entry("nothing but a mutex", new(Mutex), "value.Mutex has no exported fields, nor methods such as MarshalText and UnmarshalText"),
	Entry("nothing but itself", new(itselfOnly), "value.itselfOnly has no exported fields, nor methods such as MarshalText and UnmarshalText"),
	Entry("a buffer", new(*bytes.Buffer), "*bytes.Buffer is of type bytes.Buffer, which has no exported fields, nor methods such as MarshalText and UnmarshalText"),
	Entry("a listener", new(net.UnixListener), "net.UnixListener has no exported fields, nor methods such as MarshalText and UnmarshalText; send its File()"),
	Entry("any listener", new(net.Listener), "net.Listener is an interface with methods, so the type of what is in it is not known; send its File()"),
	Entry("what is deep in a recursive type", new(bad), `value.bad.Bad is of type chan int, which cannot be encoded; json:"-" leaves the field behind`),
	Entry("what is embedded", new(struct{ bad }), `struct { value.bad }.bad.Bad is of type chan int, which cannot be encoded; json:"-" leaves the field behind`),
)

// hashOf returns what tells types apart.
func hashOf(types ...reflect.Type) uint64 {
	GinkgoHelper()
	hash := fnv.New64a()
	for _, t := range types {
		g.Expect(Check(t, hash)).To(g.Succeed())
	}
	return hash.Sum64()
}

var _ = Describe("the hash of types", func() {
	It("is the same in whatever order they are looked at", func() {
		codecs.Clear()
		one := hashOf(reflect.TypeFor[ping](), reflect.TypeFor[mixed]())
		codecs.Clear()
		_ = Check(reflect.TypeFor[mixed](), io.Discard)
		_ = Check(reflect.TypeFor[pong](), io.Discard)
		g.Expect(hashOf(reflect.TypeFor[ping](), reflect.TypeFor[mixed]())).To(g.Equal(one))
	})

	It("is another one for other types", func() {
		seen := map[uint64]reflect.Type{}
		for _, t := range append([]reflect.Type{
			reflect.TypeFor[struct{ A, B int }](), reflect.TypeFor[struct{ B, A int }](), reflect.TypeFor[struct{ A int }](), reflect.TypeFor[map[string]int](),
			reflect.TypeFor[struct {
				A int `json:"-"`
				B int
			}](),
			reflect.TypeFor[json.Marshaler](),
		}, ordinary...) {
			h := hashOf(t)
			g.Expect(seen).NotTo(g.HaveKey(h), "%s", t)
			seen[h] = t
		}
		g.Expect(hashOf(reflect.TypeFor[int](), reflect.TypeFor[string]())).NotTo(g.Equal(hashOf(reflect.TypeFor[string](), reflect.TypeFor[int]())))
		g.Expect(hashOf()).NotTo(g.Equal(hashOf(reflect.TypeFor[int]())))
	})

	It("is another one where a type of the same name has changed", func() {
		before := func() reflect.Type { type t struct{ A int32 }; return reflect.TypeFor[t]() }()
		after := func() reflect.Type { type t struct{ A uint32 }; return reflect.TypeFor[t]() }()
		renamed := func() reflect.Type { type t struct{ B int32 }; return reflect.TypeFor[t]() }()
		g.Expect(hashOf(before)).NotTo(g.Equal(hashOf(after)))
		g.Expect(hashOf(before)).NotTo(g.Equal(hashOf(renamed)))
	})
})
