package integration

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

type (
	// withMethods has them by its pointer.
	withMethods struct{ secret string }

	// stamped embeds what encodes itself.
	stamped struct {
		time.Time
		By   string
		File *os.File
	}

	// An assortment is of types of each kind; package value has specs of all that travel.
	assortment struct {
		Bool     bool
		Numbers  map[int]float64
		Errno    syscall.Errno
		Text     string
		Bytes    [][]byte
		Anything []any
		Deep     map[string]map[string][]int
		Pointers []*int
		Next     *assortment
		URL      *url.URL
		Big      big.Int
		Addr     netip.Addr
		Own      *withMethods
		stamped
		sync.Mutex
		Left string `json:"-"`
	}
)

func (w *withMethods) MarshalBinary() ([]byte, error) { return []byte(w.secret), nil }
func (w *withMethods) UnmarshalBinary(b []byte) error { w.secret = string(b); return nil }

func newAssortment() *assortment {
	one, text := 1, "a\x00<&>\u2028\xff"+strings.Repeat("x", 1<<10)
	return &assortment{Bool: true, Numbers: map[int]float64{-1: math.Inf(1), math.MaxInt: math.SmallestNonzeroFloat64}, Errno: syscall.ENOENT,
		Text: text, Bytes: [][]byte{nil, {}, {0, 255}}, Anything: []any{nil, int8(2), uint64(math.MaxUint64), text, []byte(text), []any{1, "x"}},
		Deep: map[string]map[string][]int{"caf\xe9": nil, "caf\xe8": {"c": {}}}, Pointers: []*int{&one, nil}, Next: &assortment{Text: "next"},
		URL: &url.URL{Scheme: "http", User: url.UserPassword("u", "p:p"), Host: "h:1"}, Big: *big.NewInt(-5),
		Addr: netip.MustParseAddr("fe80::1%eth0"), Own: &withMethods{"\xff"},
		stamped: stamped{time.Date(12345, 1, 2, 3, 4, 5, 6, time.FixedZone("", -5*3600-90)), "embedded", nil}}
}

var (
	assorting = reexec.RegisterFunc("assorting", func(a *assortment) (*assortment, error) { return a, nil })
	assorted  = reexec.RegisterStream("assorted", func(_ context.Context, a *assortment, yield func(*assortment) bool) error {
		yield(a)
		yield(&assortment{})
		return nil
	})
	slurping = reexec.RegisterFunc("slurping", func(b []byte) ([]byte, error) { return b, nil })
	standing = reexec.RegisterFunc("standing", func(open bool) ([]*os.File, error) {
		if open {
			_, err := os.Stdout.Stat()
			_, errErr := os.Stderr.Stat()
			return nil, errors.Join(err, errErr)
		}
		fmt.Fprintln(os.Stderr, "text")
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
	It("arrive as they were sent, but for what is left out", func() {
		for _, by := range ways[*assortment, *assortment]() {
			sent := newAssortment()
			sent.Left = "left"
			Expect(by(assorting, sent)).To(Equal(newAssortment()))
			Expect(by(assorting, &assortment{})).To(Equal(&assortment{}))
			Expect(by(assorting, nil)).To(BeNil())
		}
	})

	It("arrive as they were sent, as events", func() {
		Expect(all(assorted.Call(background, newAssortment()))).To(Equal([]*assortment{newAssortment(), {}}))
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
		stop(w.PID()) // then it does not read the value
		Expect(w.Call(within(50*time.Millisecond, nil), value)).Error().To(MatchError(context.DeadlineExceeded))
		for i := range value {
			value[i]++ // which the race detector watches
		}
	})

	It("never close stdin, stdout and stderr of a child", func() {
		var said safeBuffer
		w := start(standing, reexec.Stderr(&said))
		for i := range 3 {
			files := must(w.Call(background, false))
			Expect(files).To(HaveLen(3))
			for _, f := range files {
				Expect(f.Close()).To(Succeed())
			}
			Expect(w.Call(background, true)).To(BeEmpty())
			Expect(said.String()).To(Equal(strings.Repeat("text\n", i+1)))
		}
	})

	It("are not misunderstood by a child whose program has been replaced", func() {
		anew := reexec.Environment([]string{"SPECS_BUILT_ANEW=1"})
		for _, by := range ways[int, int]() {
			Expect(by(changing, 5)).To(Equal(5))
			Expect(asActionError(errorOf(by(changing, 5, anew)))).To(MatchError(ContainSubstring("child is another program than its parent: its executable has been replaced")))
		}
	})
})
