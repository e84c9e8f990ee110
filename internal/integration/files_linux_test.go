package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// A hoard has files wherever they can be.
type hoard struct {
	First   *os.File
	Slice   []*os.File
	Array   [3]*os.File
	Map     map[string]*os.File
	Numbers map[int]*os.File
	Keys    map[fileKey][]*os.File
	Nested  *hoard
	Rows    []row
	Table   map[string]row
	Pointer **os.File
	Tagged  *os.File `json:"other_name,omitempty"`
	Left    *os.File `json:"-"`
	row
	*Part
	hidden *os.File
	Any    any
	Own    ownEncoding
}

type row struct {
	Name string
	File *os.File
}

type Part struct{ InPart *os.File }

// A fileKey encodes itself as text.
type fileKey struct{ a, b int }

func (k fileKey) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%d-%d", -k.a, k.b), nil }

func (k *fileKey) UnmarshalText(b []byte) error {
	_, err := fmt.Sscanf(string(b), "%d-%d", &k.a, &k.b)
	k.a = -k.a
	return err
}

// An ownEncoding has an encoding of its own, in which there are no files.
type ownEncoding struct{ File *os.File }

func (o ownEncoding) MarshalJSON() ([]byte, error) { return []byte("true"), nil }
func (o *ownEncoding) UnmarshalJSON([]byte) error  { return nil }

// each shows all files of a hoard.
func (h *hoard) each(see func(where string, f *os.File)) {
	for ; h != nil; h = h.Nested {
		for where, f := range map[string]*os.File{"first": h.First, "tagged": h.Tagged, "embedded": h.File, "left": h.Left, "hidden": h.hidden, "own": h.Own.File} {
			see(where, f)
		}
		for i, f := range append(slices.Clone(h.Slice), h.Array[:]...) {
			see(fmt.Sprintf("%d of slice and array", i), f)
		}
		for i := range 12 {
			see("map "+itoa(i), h.Map[itoa(i)])
			see("numbers "+itoa(i), h.Numbers[i])
			see("table "+itoa(i), h.Table[itoa(i)].File)
			for _, f := range h.Keys[fileKey{i, i}] {
				see("keys "+itoa(i), f)
			}
		}
		for _, r := range h.Rows {
			see("row "+r.Name, r.File)
		}
		if h.Pointer != nil {
			see("pointer", *h.Pointer)
		}
		if h.Part != nil {
			see("part", h.InPart)
		}
		see("nested", nil)
	}
}

// texts are what is in the files of a hoard, each read from its beginning, with their names.
func (h *hoard) texts() string {
	var texts []string
	h.each(func(where string, f *os.File) {
		text := "nil"
		if f != nil {
			content := make([]byte, 100)
			n, err := f.ReadAt(content, 0)
			flags, _ := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
			text = fmt.Sprintf("%s=%s, %v, %d", filepath.Base(f.Name()), content[:n], err, flags)
		}
		texts = append(texts, where+": "+text)
	})
	slices.Sort(texts)
	return strings.Join(texts, "\n")
}

func file(dir, name string) *os.File {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.WriteString(name)
	}
	if err != nil {
		panic(err)
	}
	return f
}

func newHoard(dir string) *hoard {
	n := 0
	f := func() *os.File { n++; return file(dir, fmt.Sprintf("file %d", n)) }
	pointer := f()
	h := &hoard{First: f(), Slice: []*os.File{f(), nil, f()}, Array: [3]*os.File{nil, f(), f()}, Pointer: &pointer, Tagged: f(),
		Map: map[string]*os.File{"3": nil}, Numbers: map[int]*os.File{}, Keys: map[fileKey][]*os.File{}, Table: map[string]row{},
		Rows: []row{{"a", f()}, {"b", nil}, {"c", f()}}, row: row{File: f()}, Part: &Part{f()},
		Nested: &hoard{First: f(), Nested: &hoard{Slice: []*os.File{f()}}}}
	for i := range 12 {
		h.Numbers[i], h.Keys[fileKey{i, i}], h.Table[itoa(i)] = f(), []*os.File{f()}, row{File: f()}
		if i != 3 {
			h.Map[itoa(i)] = f()
		}
	}
	return h
}

func (h *hoard) close() {
	h.each(func(_ string, f *os.File) { _ = f.Close() }) // also nil ones
}

var (
	hoarding = reexec.RegisterFunc("hoarding", func(dir string) (*hoard, error) { return newHoard(dir), nil })
	looking  = reexec.RegisterFunc("looking", func(h *hoard) (string, error) { return h.texts(), nil })
	passing  = reexec.RegisterFunc("passing", func(h *hoard) (*hoard, error) { return h, nil })
	hoards   = reexec.RegisterStream("hoards", func(_ context.Context, dir string, yield func(*hoard) bool) error {
		for i := range 3 {
			sub := filepath.Join(dir, itoa(i))
			if err := os.Mkdir(sub, 0o700); err != nil {
				return err
			}
			h := newHoard(sub)
			if !yield(h) {
				break
			}
			if err := h.First.Close(); !errors.Is(err, os.ErrClosed) {
				return errors.New("it has not been closed")
			}
		}
		return nil
	})
)

type loot struct {
	Do    wild
	Files []*os.File
	Pad   string
}

// An errand is what function plunder does with files.
type errand struct {
	Do    string
	Files []*os.File
	Count int
}

// kept are files that function plunder has had.
var kept []*os.File

func plunder(ctx context.Context, e errand) (l loot, err error) {
	switch e.Do {
	case "keep":
		kept = e.Files
		return l, nil
	case "give kept":
		return loot{Files: kept}, nil
	case "closed?":
		for _, f := range kept {
			if err := f.Close(); !errors.Is(err, os.ErrClosed) {
				return l, fmt.Errorf("%s was still open: %v", f.Name(), err)
			}
		}
		return l, nil
	case "give closed":
		closeAll(e.Files)
	case "fail":
		err = errors.New("no luck")
	case "panic":
		panic("at the disco")
	case "late":
		fmt.Fprintln(os.Stderr, "began")
		<-ctx.Done()
		fmt.Fprintln(os.Stderr, "late")
	case "hold":
		enter("began")
	case "count":
		return l, fmt.Errorf("%d descriptors", len(descriptorsOpen()))
	case "limit":
		return l, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(e.Count), Max: uint64(e.Count)})
	case "many":
		return loot{Files: slices.Repeat(e.Files[:1], e.Count)}, nil
	}
	return loot{Do: wild(e.Do), Files: e.Files}, err
}

// descriptorsOpen are the numbers of all open files of this process, for which one more is needed.
func descriptorsOpen() (open []int) {
	for fd := range 4096 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			open = append(open, fd)
		}
	}
	return open
}

var (
	plundering     = reexec.RegisterFuncContext("plundering", plunder)
	plunderingDeaf = reexec.RegisterFunc("plundering deaf", func(e errand) (loot, error) { return plunder(background, e) })
	spoils         = reexec.RegisterStream("spoils", func(ctx context.Context, e errand, yield func(loot) bool) error {
		for _, f := range e.Files {
			if e.Do == "give closed" {
				_ = f.Close()
			}
			if !yield(loot{Do: wild(e.Do), Files: []*os.File{f}, Pad: strings.Repeat("x", e.Count)}) {
				if err := f.Close(); !errors.Is(err, os.ErrClosed) {
					fmt.Fprintln(os.Stderr, "not closed", err)
				}
				break
			}
		}
		return nil
	})
)

// A tap is a pipe, whose writing end travels. Its reading end tells whether it is open anywhere.
type tap struct{ r, w *os.File }

// newTap opens a tap. Nothing is closed by the garbage collector while the spec lasts.
func newTap() *tap {
	GinkgoHelper()
	withoutGC()
	r, w := pipe()
	return &tap{r, w}
}

// isShut tells that nobody has the writing end, once the spec has closed its own.
func (t *tap) isShut() {
	GinkgoHelper()
	_ = t.w.Close()
	Expect(t.r.SetReadDeadline(time.Now().Add(20 * time.Second))).To(Succeed())
	Expect(t.r.Read(make([]byte, 1))).Error().To(Equal(io.EOF), "the file is still open somewhere")
}

var _ = Describe("open files", func() {
	It("travel wherever they are in a value", func() {
		h := newHoard(GinkgoT().TempDir())
		defer h.close()
		h.Left, h.hidden = h.First, h.First
		wanted := h.texts()
		Expect(wanted).To(ContainSubstring("=file 40, EOF, 1"))
		h.Left, h.hidden = nil, nil
		wanted = h.texts()
		h.Left, h.hidden, h.Own.File = h.First, h.First, h.First // which do not travel
		for _, by := range ways[*hoard, string]() {
			Expect(by(looking, h)).To(Equal(wanted))
		}
		for _, by := range ways[*hoard, *hoard]() {
			back := must(by(passing, h))
			Expect(back.texts()).To(Equal(wanted))
			back.close()
		}
		Expect(h.First.Stat()).NotTo(BeNil(), "who sends a parameter keeps it")
		for _, by := range ways[string, *hoard]() {
			back := must(by(hoarding, GinkgoT().TempDir()))
			Expect(back.texts()).To(Equal(wanted))
			back.close()
		}
	})

	It("travel in events", func() {
		h := newHoard(GinkgoT().TempDir())
		defer h.close()
		wanted := h.texts()
		events := must(all(hoards.Call(background, GinkgoT().TempDir())))
		Expect(events).To(HaveLen(3))
		for _, got := range events {
			Expect(got.texts()).To(Equal(wanted))
			got.close()
		}
	})

	It("do not travel in an interface, which is an error", func() {
		for _, by := range ways[*hoard, string]() {
			Expect(asActionError(errorOf(by(looking, &hoard{Any: os.Stdin})))).To(MatchError(ContainSubstring("*os.File in an interface cannot travel")))
		}
	})

	It("travel into namespaces, and out of them", func() {
		n := newNeighbour("user", "net")
		const address = "@what a file of a socket leads to" // which is one in each network namespace; see unix(7)
		listener := must(listening.Call(background, address, n.in("!user", "!net")))
		defer listener.Close()
		l := must(net.FileListener(listener))
		defer l.Close()
		fetched := goCall(called(fetching, n.in("!user", "!net")), background, address)
		Expect(l.(*net.UnixListener).SetDeadline(time.Now().Add(moment))).To(Succeed())
		conn := must(l.Accept())
		must(conn.Write([]byte("from the outside")))
		Expect(conn.Close()).To(Succeed())
		Expect(end(fetched)).To(Equal("from the outside"))
	})

	It("bear the sender's name, whatever that is", func() {
		for _, name := range []string{"", "a\nb", "\xff\xfe", `"`, "\u2028<&"} {
			f := os.NewFile(uintptr(must(unix.Dup(0))), name)
			back := must(plundering.Call(background, errand{Files: []*os.File{f}}))
			Expect(back.Files[0].Name()).To(Equal(name))
			Expect(back.Files[0].Close()).To(Succeed())
			Expect(f.Close()).To(Succeed())
		}
	})

	It("are one open file on both sides", func() {
		f := file(GinkgoT().TempDir(), "0123456789")
		defer f.Close()
		must(f.Seek(3, io.SeekStart))
		Expect(reading.Call(background, f)).To(Equal("3456"))
		Expect(f.Seek(0, io.SeekCurrent)).To(BeEquivalentTo(7))
	})

	It("are closed in the child once they are sent", func() {
		w, t := start(plundering), newTap()
		must(w.Call(background, errand{Do: "keep", Files: []*os.File{t.w}}))
		back := must(w.Call(background, errand{Do: "give kept"}))
		must(back.Files[0].WriteString("x"))
		Expect(back.Files[0].Close()).To(Succeed(), "it is the caller's")
		must(w.Call(background, errand{Do: "closed?"}))
		Expect(t.r.Read(make([]byte, 9))).To(Equal(1))
		t.isShut()
	})

	DescribeTable("that nobody receives are closed", func(do string) {
		for _, f := range []reexec.Func[errand, loot]{plundering, plunderingDeaf} {
			for _, by := range ways[errand, loot]() {
				t := newTap()
				ended := errors.New("goroutine has ended, or panicked")
				fate(func() { _, ended = by(f, errand{Do: do, Files: []*os.File{t.w, t.w}}, silently) })
				Expect(ended).To(HaveOccurred())
				t.isShut()
				Expect(children()).To(BeEmpty())
			}
		}
	},
		Entry("since the function fails", "fail"), Entry("since it panics", "panic"),
		Entry("since the decoder fails", "decoder fails"), Entry("since the decoder panics", "decoder panics"),
		Entry("since the encoder fails", "encoder fails"), Entry("since the encoder panics", "encoder panics"),
		Entry("since the encoder ends its goroutine", "encoder ends"), Entry("since the decoder ends its goroutine", "decoder ends"),
		Entry("since one of them is closed", "give closed"))

	DescribeTable("in events that nobody receives are closed", func(do string, leave func()) {
		t := newTap()
		var heard bytes.Buffer
		fate(func() {
			e := errand{Do: do, Files: slices.Repeat([]*os.File{t.w}, 100), Count: 10000}
			for l, err := range spoils.Call(background, e, reexec.Stderr(&heard), ofGrace(time.Hour)) {
				if err != nil {
					panic(err)
				}
				closeAll(l.Files)
				if leave == nil {
					break
				}
				leave()
			}
		})
		Expect(heard.String()).To(BeEmpty())
		t.isShut()
	},
		Entry("since the loop is left", "", nil), Entry("since the loop panics", "", func() { panic("loop") }),
		Entry("since the loop ends its goroutine", "", runtime.Goexit), Entry("since the decoder fails", "decoder fails", nil),
		Entry("since the decoder panics", "decoder panics", nil), Entry("since the decoder ends its goroutine", "decoder ends", nil),
		Entry("since the encoder fails", "encoder fails", nil))

	Context("of calls that are cancelled", func() {
		It("are closed when the result comes too late", func() {
			g := newGate()
			for _, call := range bothCalls(plundering, g.options(ofGrace(time.Hour))...) {
				t := newTap()
				_ = cancelled(g, call, errand{Do: "late", Files: []*os.File{t.w}})
				g.says("late")
				t.isShut()
			}
		})

		It("do not pile up: only n calls are sent", func() {
			t := newTap()
			g, w := gated(plunderingDeaf, ofGrace(time.Hour), reexec.Concurrency(2))
			first := goCalls(2, w.Call, background, func(int) errand { return errand{Do: "hold"} })
			Eventually(func() int { return g.said("began") }).Should(Equal(2))
			goOn := stop(w.PID())
			ctx, cancel := context.WithCancelCause(background)
			calls := goCalls(20, w.Call, ctx, func(int) errand { return errand{Files: []*os.File{t.w}} })
			Consistently(calls[0], "20ms").ShouldNot(Receive())
			cancel(errEnough)
			for _, call := range calls {
				Expect(end(call)).Error().To(MatchError(errEnough))
			}
			t.isShut() // although the child has not taken anything
			goOn()
			g.pass(2)
			for _, call := range first {
				must(end(call))
			}
		})

		It("are closed, or received, whenever that is", func() {
			t := newTap()
			w := start(plundering, reexec.Concurrency(3))
			var usual time.Duration // of a call, which takes its time on an emulated machine
			for range 2 {
				begin := time.Now()
				Expect(w.Call(background, errand{})).To(BeZero())
				usual = time.Since(begin)
			}
			most := max(time.Millisecond, 10*usual)
			var received atomic.Int32
			together(8, func(int) error {
				for range often(100) {
					l, err := w.Call(within(rand.N(most), errEnough), errand{Files: []*os.File{t.w, t.w}})
					if errors.Is(err, errEnough) {
						continue
					}
					if err != nil || len(l.Files) != 2 {
						return fmt.Errorf("%d files: %w", len(l.Files), err)
					}
					received.Add(1)
					closeAll(l.Files)
				}
				return nil
			})
			Expect(received.Load()).To(BeNumerically(">", 0))
			t.isShut()
			Expect(w.Call(background, errand{})).To(BeZero())
		})

		It("are closed with the worker", func() {
			t := newTap()
			g, w := gated(plunderingDeaf, ofGrace(0))
			done := goCall(w.Call, background, errand{Do: "hold", Files: []*os.File{t.w}})
			g.says("began")
			Expect(w.Close()).To(Succeed())
			Expect(end(done)).Error().To(MatchError(os.ErrClosed))
			t.isShut()
		})
	})

	Context("that are closed", func() {
		It("are an error, and nothing is sent", func() {
			t, closed := newTap(), file(GinkgoT().TempDir(), "closed")
			Expect(closed.Close()).To(Succeed())
			files := []*os.File{t.w, closed}
			_, err := plundering.Call(background, errand{Files: files})
			Expect(asActionError(err)).To(And(MatchError(os.ErrClosed), MatchError(MatchRegexp(`cannot send parameter to child, reason: cannot send file .*closed: `))))
			Expect(all(spoils.Call(background, errand{Files: files}))).Error().To(MatchError(os.ErrClosed))
			g, w := gated(plundering)
			for range 3 {
				Expect(asActionError(errorOf(w.Call(background, errand{Do: "hold", Files: files})))).To(MatchError(os.ErrClosed))
			}
			Expect(w.Call(background, errand{})).To(BeZero(), "the worker lives on")
			Expect(g.said("began")).To(BeZero())
			t.isShut()
		})

		It("for a worker that is gone tell why it is", func() {
			t := newTap()
			w := start(plundering)
			Expect(kill(w.PID())).To(Succeed())
			Eventually(w.Done()).Should(BeClosed())
			for range 2 {
				_, err := w.Call(background, errand{Files: []*os.File{t.w}})
				Expect(err).To(MatchError(ContainSubstring("signal: killed")))
				Expect(exitCode(err)).To(Equal(-1))
			}
			t.isShut()
		})

		It("for a call that is cancelled meanwhile tell so", func() {
			t := newTap()
			many := slices.Repeat([]*os.File{t.w}, 300)
			for range often(200) {
				ctx := within(time.Duration(rand.N(5000))*time.Microsecond, errEnough)
				// If it is not cancelled it fails, too, by telling how many files there are.
				if _, err := plunderingDeaf.Call(ctx, errand{Do: "count", Files: many}); !errors.As(err, new(*reexec.FuncError)) {
					Expect(err).To(MatchError(errEnough))
				}
			}
			t.isShut()
		})

		It("are closed if the child's tuning panics", func() {
			t := newTap()
			Expect(func() {
				_, _ = plundering.Call(background, errand{Files: []*os.File{t.w}}, reexec.Cmd(func(*exec.Cmd) { panic("out of tune") }))
			}).To(PanicWith("out of tune"))
			t.isShut()
		})

		It("are an error in a result, and in an event", func() {
			for _, by := range ways[errand, loot]() {
				t := newTap()
				_, err := by(plundering, errand{Do: "give closed", Files: []*os.File{t.w}})
				Expect(asActionError(err)).To(And(MatchError(os.ErrClosed), MatchError(ContainSubstring("cannot send result in child, reason: cannot send file |1"))))
				t.isShut()
			}
			t := newTap()
			got, err := all(spoils.Call(background, errand{Do: "give closed", Files: []*os.File{t.w}}))
			Expect(got).To(BeEmpty())
			Expect(asActionError(err)).To(And(MatchError(os.ErrClosed), MatchError(ContainSubstring("cannot send event in child, reason: "))))
			t.isShut()
		})
	})

	Context("in numbers", func() {
		It("travel all in order", func() {
			dir := GinkgoT().TempDir()
			var e errand
			for i := range 600 {
				e.Files = append(e.Files, file(dir, itoa(i)))
			}
			defer closeAll(e.Files)
			calls := bothCalls(plundering)
			for _, call := range append(calls, calls[1]) {
				l := must(call(background, e))
				Expect(l.Files).To(HaveLen(600))
				for i, f := range l.Files {
					content := make([]byte, 10)
					n, _ := f.ReadAt(content, 0)
					Expect(string(content[:n])).To(Equal(itoa(i)))
					Expect(f.Close()).To(Succeed())
				}
			}
			events := must(all(spoils.Call(background, errand{Files: e.Files})))
			Expect(events).To(HaveLen(600))
			for i, l := range events {
				Expect(filepath.Base(l.Files[0].Name())).To(Equal(itoa(i)))
				Expect(l.Files[0].Close()).To(Succeed())
			}
		})

		It("are an error if the parent cannot send or receive them, and none is left open", func() {
			t := newTap()
			many := slices.Repeat([]*os.File{t.w}, 300)
			w := start(plunderingDeaf)
			var usual syscall.Rlimit
			Expect(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &usual)).To(Succeed())
			few := syscall.Rlimit{Cur: uint64(len(descriptorsOpen()) + 100), Max: usual.Max}
			Expect(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few)).To(Succeed())
			DeferCleanup(syscall.Setrlimit, syscall.RLIMIT_NOFILE, &usual)
			_, err := w.Call(background, errand{Files: many})
			Expect(asActionError(err)).To(And(MatchError(syscall.EMFILE), MatchError(ContainSubstring("cannot send parameter to child, reason: cannot send file |1: "))))
			_, err = w.Call(background, errand{Do: "many", Count: 300, Files: many[:1]})
			Expect(asActionError(err)).To(And(MatchError(syscall.EMFILE), MatchError(ContainSubstring("open files could not be received"))))
			l, err := w.Call(background, errand{Files: many[:1]})
			Expect(err).NotTo(HaveOccurred(), "the next ones are received")
			Expect(l.Files[0].Close()).To(Succeed())
			for _, e := range []errand{{Files: many}, {Do: "many", Count: 300, Files: many[:1]}} {
				Expect(asActionError(errorOf(plunderingDeaf.Call(background, e)))).To(MatchError(syscall.EMFILE))
			}
			Expect(w.Call(background, errand{})).To(BeZero(), "the worker lives on")
			t.isShut()
		})

		It("are an error if the child cannot receive or send them, and none is left open", func() {
			t := newTap()
			many := slices.Repeat([]*os.File{t.w}, 400)
			w := start(plundering)
			_, before := w.Call(background, errand{Do: "count"})
			must(w.Call(background, errand{Do: "limit", Count: 200}))
			for _, n := range []int{201, 253, 254, 400} {
				_, err := w.Call(background, errand{Files: many[:n]})
				Expect(asActionError(err)).To(And(MatchError(syscall.EMFILE), MatchError(ContainSubstring("cannot decode parameter in child, reason: open files could not be received"))))
			}
			_, err := w.Call(background, errand{Do: "many", Count: 400, Files: many[:1]})
			Expect(asActionError(err)).To(And(MatchError(syscall.EMFILE), MatchError(ContainSubstring("cannot send result in child"))))
			_, after := w.Call(background, errand{Do: "count"})
			Expect(after).To(MatchError(before.Error()))
			Expect(w.Close()).To(Succeed())
			t.isShut()
		})
	})

	DescribeTable("that a child sends without being asked are closed", func(how string) {
		for _, by := range ways[rogue, loot]() {
			t := newTap()
			_, err := by(going, rogue{how, t.w}, silently)
			if how == "files only" {
				Expect(err).NotTo(HaveOccurred())
			} else {
				Expect(asActionError(err)).To(HaveOccurred())
			}
			t.isShut()
		}
		for _, by := range ways[rogue, int]() {
			t := newTap()
			_, _ = by(goingWithout, rogue{how, t.w}, silently)
			t.isShut()
		}
	},
		Entry(nil, "files only"), Entry(nil, "more files"), Entry(nil, "frame without files"),
		Entry(nil, "frame of another call"), Entry(nil, "frame of unknown kind"), Entry(nil, "message that makes no sense"),
		Entry(nil, "no file where there should be one"))

	It("are closed files at the worst where a child sends none", func() {
		l, _ := going.Call(background, rogue{Do: "no files at all"}, silently) // may well be an error
		for _, f := range l.Files {
			Expect(f.Stat()).Error().To(HaveOccurred()) // and must not panic
		}
	})

	It("do not make an endless value of one that contains itself", func() {
		h := &hoard{}
		h.Nested = h
		Expect(asActionError(errorOf(looking.Call(background, h)))).To(MatchError(ContainSubstring("cannot send parameter to child, reason: value contains itself")))
		w := start(cyclic)
		for range 2 { // the worker lives on
			Expect(asActionError(errorOf(w.Call(background, 1)))).To(MatchError(ContainSubstring("value contains itself")))
		}
	})

	It("do not keep the child from collecting its garbage", func() {
		// Collection is paused for parameters of more than 1 MiB.
		w := start(collecting)
		for _, size := range []int{1 << 20, 1<<20 - 20, 1<<20 - 30, 1<<20 - 60, 2 << 20} {
			Expect(w.Call(background, row{strings.Repeat("x", size), os.Stdin})).To(BeNumerically(">", 0), "%d", size)
		}
	})

	DescribeTable("and types that can never travel panic at registration, and the panic names the field", func(register func(name string), says string) {
		Expect(func() { register("never") }).To(PanicWith(And(HavePrefix(`gons/reexec: function "never": `), ContainSubstring(says))))
	}, // package value has specs of all of them
		Entry("channel", ofType[chan int], "parameter cannot travel: chan int cannot be encoded"),
		Entry("channel in a struct", ofType[struct{ A struct{ C chan int } }], `.A.C is of type chan int, which cannot be encoded; json:"-" leaves the field behind`),
		Entry("channel in a result", resultOfType[struct{ C <-chan int }], "result cannot travel: struct { C <-chan int }.C"),
		Entry("channel in an event", eventOfType[[]struct{ C chan int }], "event cannot travel: []struct { C chan int }.C is of type chan int"),
		Entry("map with keys of a struct", ofType[struct{ M map[row]int }], ".M is of type map[integration.row]int"),
		Entry("connection", resultOfType[struct{ C net.Conn }], ".C is of type net.Conn, which is an interface with methods, so the type of what is in it is not known; send its File()"),
		Entry("root directory", ofType[[]*os.Root], "is of type os.Root"),
		Entry("only what is left out", ofType[struct {
			A int `json:"-"`
		}], "has no exported fields"))
})

func ofType[T any](name string) { reexec.RegisterFunc(name, func(T) (int, error) { return 0, nil }) }

func resultOfType[T any](name string) {
	reexec.RegisterFuncContext(name, func(context.Context, int) (t T, err error) { return t, nil })
}

func eventOfType[T any](name string) {
	reexec.RegisterStream(name, func(context.Context, int, func(T) bool) error { return nil })
}

var listening = reexec.RegisterFunc("listening", func(address string) (*os.File, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: address})
	if err != nil {
		return nil, err
	}
	return l.File()
})

var fetching = reexec.RegisterFunc("fetching", func(address string) (string, error) {
	conn, err := net.Dial("unix", address)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(conn)
	return string(b), err
})

var reading = reexec.RegisterFunc("reading", func(f *os.File) (string, error) {
	b := make([]byte, 4)
	_, err := io.ReadFull(f, b)
	return string(b), err
})

type cycle struct {
	Next *cycle
	Map  map[string]*cycle
	File *os.File
}

var cyclic = reexec.RegisterFunc("cyclic", func(int) (c cycle, err error) {
	c.Map = map[string]*cycle{"c": {Next: &c}}
	return c, nil
})

var collecting = reexec.RegisterFunc("collecting", func(r row) (int, error) {
	_ = r.File.Close()
	return debug.SetGCPercent(100), nil
})

// A rogue child speaks for itself.
type rogue struct {
	Do   string
	File *os.File
}

func goRogue(r rogue) error {
	control, answers := 0, 0
	for _, fd := range descriptorsOpen() {
		name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		closing, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		own := closing&unix.FD_CLOEXEC != 0
		switch {
		case own && strings.HasPrefix(name, "socket:"):
			control = fd
		case own && strings.HasPrefix(name, "pipe:") && flags&unix.O_ACCMODE == unix.O_WRONLY && (r.File == nil || fd != int(r.File.Fd())):
			answers = fd
		}
	}
	const files, named, unnamed = "F\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01", `["a"]` + "\n" + `{"Files":[{}]}` + "\n", `{"Files":[{}]}` + "\n"
	how := map[string]struct {
		messages          []string // each with a file
		kind, call, files byte     // of a frame
		body              string
	}{
		"files only":                        {messages: []string{files}},
		"more files":                        {[]string{files, files}, 'A', 1, 2, `["a","b"]` + "\n" + unnamed},
		"frame without files":               {[]string{files}, 'A', 1, 1, `["a"]` + "\n" + `{"Files":[]}` + "\n"},
		"frame of another call":             {[]string{files}, 'A', 7, 1, named},
		"frame of unknown kind":             {[]string{files}, '?', 1, 1, named},
		"message that makes no sense":       {[]string{"what?"}, 'A', 1, 1, named},
		"no file where there should be one": {nil, 'A', 1, 1, named},
		"no files at all":                   {nil, 'A', 1, 0, unnamed},
	}[r.Do]
	for _, message := range how.messages {
		if err := unix.Sendmsg(control, []byte(message), unix.UnixRights(int(r.File.Fd())), nil, 0); err != nil {
			panic(err)
		}
	}
	if how.kind == 0 {
		return nil
	}
	header := make([]byte, 30)
	header[0], header[9], header[21], header[29] = how.kind, how.call, how.files, byte(len(how.body))
	if _, err := unix.Write(answers, append(header, how.body...)); err != nil {
		panic(err)
	}
	os.Exit(0)
	return nil
}

var (
	going        = reexec.RegisterFunc("going rogue", func(r rogue) (loot, error) { return loot{}, goRogue(r) })
	goingWithout = reexec.RegisterFunc("going rogue without files", func(r rogue) (int, error) { return 0, goRogue(r) })
)
