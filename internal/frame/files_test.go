package frame

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

type (
	// A list refers to its own type.
	list struct {
		File *os.File
		Next *list
	}

	// A textKey is a key of a map that encodes itself; names in reverse order.
	textKey struct{ n int }

	// A loudKey says the same whatever it is.
	loudKey int

	opaque struct{ File *os.File }

	Exported struct{ In *os.File }

	unexported struct{ Hidden *os.File }

	Files []*os.File

	// tangled has every kind of field.
	tangled struct {
		Exported
		unexported
		Files
		*list
		Left *os.File `json:"-"`
		//lint:ignore SA5008 this is the name "-"
		Dash    *os.File `json:"-,"`
		Empty   *os.File `json:",omitempty"`
		Renamed *os.File `json:"File2"`
		private *os.File
		Any     any
		Own     opaque
		Numbers []int
	}
)

func (k textKey) MarshalText() ([]byte, error) { return fmt.Append(nil, 100-k.n), nil }
func (k *textKey) UnmarshalText(b []byte) error {
	_, err := fmt.Sscan(string(b), &k.n)
	k.n = 100 - k.n
	return err
}

func (loudKey) String() string { return "the same" }

func (opaque) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

var _ = DescribeTable("types", func(value any, files bool) {
	got, err := CheckType(reflect.TypeOf(value).Elem())
	g.Expect(err).NotTo(g.HaveOccurred())
	g.Expect(got).To(g.Equal(files))
},
	Entry("a number", new(int), false),
	Entry("bytes", new([]byte), false),
	Entry("anything", new(any), false),
	Entry("what encodes itself", new(opaque), false),
	Entry("a time", new(time.Time), false),
	Entry("raw JSON", new(json.RawMessage), false),
	Entry("nothing at all", new(struct{}), false),
	Entry("an unexported channel", new(struct{ c chan int }), false),
	Entry("a channel left out", new(struct {
		C chan int `json:"-"`
	}), false),
	Entry("an interface that is encoded as text", new(struct {
		Err interface{ MarshalText() ([]byte, error) }
	}), false),
	Entry("a map with keys that encode themselves", new(map[textKey]int), false),
	Entry("a file", new(*os.File), true),
	Entry("a pointer to one", new(**os.File), true),
	Entry("files", new(Files), true),
	Entry("an array of them", new([2]*os.File), true),
	Entry("a map of them", new(map[uint8][]*os.File), true),
	Entry("in a recursive type", new(list), true),
	Entry("in a type that is seen twice", new(struct{ A, B Exported }), true),
	Entry("in an embedded type", new(struct{ unexported }), true),
	Entry("behind what has none", new(struct {
		A int
		B map[string]*struct{ C **os.File }
		D int
	}), true),
	Entry("embedded with a name", new(struct {
		*os.File `json:"file"`
	}), true),
)

var _ = DescribeTable("types that cannot travel", func(value any, message string) {
	_, err := CheckType(reflect.TypeOf(value).Elem())
	g.Expect(err).To(g.MatchError(message))
},
	Entry("a channel", new(chan int), "chan int is a chan int, which cannot travel"),
	Entry("a function, deep within", new(map[string][]*struct{ A struct{ B [1]func() } }),
		"map[string][]*struct { A struct { B [1]func() } }.A.B is a func(), which cannot travel"),
	Entry("a complex number", new(struct{ C complex64 }), "struct { C complex64 }.C is a complex64, which cannot travel"),
	Entry("a pointer", new(struct{ P unsafe.Pointer }), "struct { P unsafe.Pointer }.P is a unsafe.Pointer, which cannot travel"),
	Entry("an error", new(struct{ Err error }), "struct { Err error }.Err is a error, an interface that cannot be decoded"),
	Entry("strange keys", new(struct{ M map[float64]int }), "struct { M map[float64]int }.M is a map[float64]int, whose keys cannot be encoded"),
	Entry("keys that cannot be decoded", new(map[struct{ opaque }]int), "map[struct { frame.opaque }]int is a map[struct { frame.opaque }]int, whose keys cannot be encoded"),
	Entry("a file by value", new(struct{ F os.File }), "struct { F os.File }.F is an os.File by value; a pointer to it can travel"),
	Entry("an embedded file", new(struct{ *os.File }),
		"struct { *os.File }.File is embedded, and so left out by package json; a named field can travel"),
	Entry("an embedded file with options", new(struct {
		*os.File `json:",omitempty"`
	}), `struct { *os.File "json:\",omitempty\"" }.File is embedded, and so left out by package json; a named field can travel`),
)

var _ = Describe("the files in a value", func() {

	// someFiles returns open files, which DeepEqual tells apart.
	someFiles := func(n int) (files []*os.File) {
		for range n {
			f, err := os.Open(os.DevNull)
			g.Expect(err).NotTo(g.HaveOccurred())
			DeferCleanup(f.Close)
			files = append(files, f)
		}
		return files
	}

	DescribeTable("are put where they were found", func(n int, make func(f []*os.File) any) {
		files := someFiles(n)
		value := make(files)
		for range 20 { // maps are never in the same order
			encoded, err := json.Marshal(value)
			g.Expect(err).NotTo(g.HaveOccurred())
			decoded := reflect.New(reflect.TypeOf(value))
			g.Expect(json.Unmarshal(encoded, decoded.Interface())).To(g.Succeed())
			g.Expect(putFiles(decoded.Interface(), FilesOf(value))).To(g.Succeed())
			g.Expect(reflect.DeepEqual(decoded.Elem().Interface(), value)).To(g.BeTrue())
			g.Expect(FilesOf(value)).To(g.HaveLen(n))
		}
	},
		Entry("none", 0, func(f []*os.File) any { return []*os.File{nil} }),
		Entry("itself", 1, func(f []*os.File) any { return f[0] }),
		Entry("a slice, with a nil one", 2, func(f []*os.File) any { return Files{f[0], nil, f[1]} }),
		Entry("an array", 2, func(f []*os.File) any { return [3]*os.File{1: f[1], 2: f[0]} }),
		Entry("pointers", 2, func(f []*os.File) any { p := &f[1]; return []**os.File{&f[0], nil, p} }),
		Entry("a list", 3, func(f []*os.File) any { return list{f[2], &list{f[1], &list{nil, &list{f[0], nil}}}} }),
		Entry("names", 3, func(f []*os.File) any { return map[string]*os.File{"b": f[0], "a": f[1], "": f[2], "c": nil} }),
		Entry("names that are no text", 3, func(f []*os.File) any {
			return map[string]*os.File{"\ufffd": f[0], "\U0001f600": f[1], "\x00": f[2]}
		}),
		Entry("numbers", 4, func(f []*os.File) any { return map[int]*os.File{2: f[0], 10: f[1], -1: f[2], 1: f[3]} }),
		Entry("large numbers", 2, func(f []*os.File) any { return map[uintptr][]*os.File{1 << 31: {f[0]}, 2: {nil, f[1]}} }),
		Entry("keys that encode themselves", 3, func(f []*os.File) any {
			return map[textKey]*os.File{{1}: f[0], {2}: f[1], {3}: f[2]}
		}),
		Entry("keys that say all the same", 9, func(f []*os.File) any {
			m := map[loudKey]*os.File{}
			for i := range f {
				m[loudKey(i)] = f[i]
			}
			return m
		}),
		Entry("maps in maps, by value", 4, func(f []*os.File) any {
			return map[string]map[int][2]Exported{"a": {1: {{f[0]}, {f[1]}}}, "b": nil, "c": {2: {{f[2]}}, 3: {1: {f[3]}}}}
		}),
		Entry("all fields", 8, func(f []*os.File) any {
			return tangled{Exported: Exported{f[0]}, unexported: unexported{f[1]}, Files: f[2:4:4], Dash: f[4], Empty: f[5], Renamed: f[6],
				Numbers: []int{1}, Any: "any", Own: opaque{}, list: nil}.with(f[7])
		}),
	)

	It("are not those that package json passes over", func() {
		f := someFiles(1)[0]
		value := tangled{Left: f, private: f, Any: f, Own: opaque{f}}
		g.Expect(FilesOf(value)).To(g.BeEmpty())
		g.Expect(FilesOf(nil)).To(g.BeEmpty())
		g.Expect(value.private).NotTo(g.BeNil())
	})

	It("are sorted as the receiver sorts them", func() {
		// Package json makes U+FFFD of what is no text.
		files := someFiles(2)
		sent := map[string]*os.File{"\xff": files[0], "\U0001f600": files[1]}
		received := map[string]*os.File{"\ufffd": files[0], "\U0001f600": files[1]}
		g.Expect(slices.Equal(FilesOf(sent), FilesOf(received))).To(g.BeTrue())
	})

	It("are as many as there are places", func() {
		files := someFiles(2)
		value := []*os.File{new(os.File), new(os.File)}
		g.Expect(putFiles(&value, files[:1])).To(g.MatchError(errFiles))
		g.Expect(putFiles(&value, append(files, files[0]))).To(g.MatchError(errFiles))
		g.Expect(putFiles(new(any), files)).To(g.MatchError(errFiles))
		m := map[string]*os.File{"a": new(os.File), "b": new(os.File)}
		g.Expect(putFiles(&m, files[:1])).To(g.MatchError(errFiles))
	})

})

// with returns t with a file in its numbers' place.
func (t tangled) with(f *os.File) tangled {
	t.Files = append(t.Files, f)
	return t
}
