package integration

import (
	"bytes"
	"context"
	"encoding/json"
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
	"strings"
	"sync"
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

// A Part is embedded by pointer.
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

// A halfEncoding can be encoded, and not decoded.
type halfEncoding struct{ n int }

func (h halfEncoding) MarshalText() ([]byte, error) { return []byte{byte(h.n)}, nil }

// texts are what is in the files of a hoard, each read from its beginning, with their names.
func (h *hoard) texts() string {
	if h == nil {
		return "none"
	}
	text := func(f *os.File) string {
		if f == nil {
			return "nil"
		}
		content := make([]byte, 100)
		n, err := f.ReadAt(content, 0)
		if err != io.EOF {
			return err.Error()
		}
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			return "not close-on-exec"
		}
		return filepath.Base(f.Name()) + "=" + string(content[:n])
	}
	list := func(files []*os.File) (texts []string) {
		for _, f := range files {
			texts = append(texts, text(f))
		}
		return texts
	}
	var b strings.Builder
	fmt.Fprintln(&b, "first", text(h.First), "slice", list(h.Slice), "array", list(h.Array[:]))
	for i := range 12 {
		fmt.Fprintln(&b, "map", text(h.Map[itoa(i)]), text(h.Numbers[i]), list(h.Keys[fileKey{i, i}]), text(h.Table[itoa(i)].File))
	}
	for _, r := range h.Rows {
		fmt.Fprintln(&b, "row", r.Name, text(r.File))
	}
	if h.Pointer != nil {
		fmt.Fprintln(&b, "pointer", text(*h.Pointer))
	}
	if h.Part != nil {
		fmt.Fprintln(&b, "part", text(h.InPart))
	}
	fmt.Fprintln(&b, "others", text(h.Tagged), text(h.Left), text(h.File), text(h.hidden), text(h.Own.File), h.Any)
	return b.String() + h.Nested.texts()
}

// file makes a file with its name as its content.
func file(dir, name string) *os.File {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		panic(err)
	}
	if _, err := f.WriteString(name); err != nil {
		panic(err)
	}
	return f
}

// newHoard fills a hoard; what does not travel is left out.
func newHoard(dir string) *hoard {
	n := 0
	f := func() *os.File {
		n++
		return file(dir, fmt.Sprintf("file %d", n))
	}
	h := &hoard{First: f(), Slice: []*os.File{f(), nil, f()}, Array: [3]*os.File{nil, f(), f()}, Tagged: f()}
	h.Map, h.Numbers, h.Keys, h.Table = map[string]*os.File{}, map[int]*os.File{}, map[fileKey][]*os.File{}, map[string]row{}
	for i := range 12 {
		h.Numbers[i], h.Keys[fileKey{i, i}], h.Table[itoa(i)] = f(), []*os.File{f()}, row{File: f()}
		if h.Map[itoa(i)] = nil; i != 3 {
			h.Map[itoa(i)] = f()
		}
	}
	h.Rows = []row{{"a", f()}, {"b", nil}, {"c", f()}}
	pointer := f()
	h.Pointer = &pointer
	h.row.File = f()
	h.Part = &Part{f()}
	h.Nested = &hoard{First: f(), Nested: &hoard{Slice: []*os.File{f()}}}
	return h
}

// close closes all files of a hoard.
func (h *hoard) close() {
	if h == nil {
		return
	}
	files := append(append([]*os.File{h.First, h.Tagged, h.File}, h.Slice...), h.Array[:]...)
	for i := range 12 {
		files = append(append(files, h.Map[itoa(i)], h.Numbers[i], h.Table[itoa(i)].File), h.Keys[fileKey{i, i}]...)
	}
	for _, r := range h.Rows {
		files = append(files, r.File)
	}
	if h.Part != nil {
		files = append(files, h.InPart, *h.Pointer)
	}
	for _, f := range files {
		_ = f.Close() // also nil ones
	}
	h.Nested.close()
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

// A loot is what function plunder sends.
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
		return loot{}, nil
	case "give kept":
		return loot{Files: kept}, nil
	case "closed?":
		for _, f := range kept {
			if err := f.Close(); !errors.Is(err, os.ErrClosed) {
				return loot{}, fmt.Errorf("%s was still open: %v", f.Name(), err)
			}
		}
		return loot{}, nil
	case "give closed":
		for _, f := range e.Files {
			_ = f.Close()
		}
		return loot{Files: e.Files}, nil
	case "fail":
		return loot{Files: e.Files}, errors.New("no luck")
	case "panic":
		panic("at the disco")
	case "late":
		fmt.Fprintln(os.Stderr, "began")
		<-ctx.Done()
		fmt.Fprintln(os.Stderr, "late")
		return loot{Files: e.Files}, nil
	case "hold":
		enter("began")
		return loot{Files: e.Files}, nil
	case "count":
		return loot{}, fmt.Errorf("%d descriptors", len(descriptorsOpen()))
	case "limit":
		return loot{}, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(e.Count), Max: uint64(e.Count)})
	case "many":
		for range e.Count {
			l.Files = append(l.Files, e.Files[0])
		}
		return l, nil
	}
	return loot{Do: wild(e.Do), Files: e.Files}, nil
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
	r, w := pipe()
	percent := debug.SetGCPercent(-1)
	DeferCleanup(func() {
		debug.SetGCPercent(percent)
		_ = r.Close()
		_ = w.Close()
	})
	return &tap{r, w}
}

// isShut tells that nobody has the writing end, once the spec has closed its own.
func (t *tap) isShut() {
	GinkgoHelper()
	_ = t.w.Close()
	Expect(t.r.SetReadDeadline(time.Now().Add(20 * time.Second))).To(Succeed())
	_, err := t.r.Read(make([]byte, 1))
	Expect(err).To(Equal(io.EOF), "the file is still open somewhere")
}

var _ = Describe("open files", func() {
	It("travel wherever they are in a value", func() {
		dir := GinkgoT().TempDir()
		h := newHoard(dir)
		defer h.close()
		h.Left, h.hidden = h.First, h.First
		wanted := h.texts()
		Expect(wanted).To(ContainSubstring("=file 40"))
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
		Expect(by(hoarding, GinkgoT().TempDir(), wanted)).To(Succeed())
	})

	It("travel in events", func() {
		h := newHoard(GinkgoT().TempDir())
		defer h.close()
		wanted := h.texts()
		seen := 0
		for got, err := range hoards.Call(background, GinkgoT().TempDir()) {
			Expect(err).NotTo(HaveOccurred())
			Expect(got.texts()).To(Equal(wanted))
			got.close()
			seen++
		}
		Expect(seen).To(Equal(3))
	})

	It("do not travel in an interface, which is an error", func() {
		for _, by := range ways[*hoard, string]() {
			_, err := by(looking, &hoard{Any: os.Stdin})
			Expect(asActionError(err)).To(MatchError(ContainSubstring("*os.File in an interface cannot travel")))
		}
	})

	It("travel into namespaces, and out of them", func() {
		n := newNeighbour("user", "net")
		listener := must(listening.Call(background, "tcp", n.in("!user", "!net")))
		defer listener.Close()
		l := must(net.FileListener(listener))
		defer l.Close()
		served := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				_, err = conn.Write([]byte("from the outside"))
				_ = conn.Close()
			}
			served <- err
		}()
		Expect(fetching.Call(background, l.Addr().String(), n.in("!user", "!net"))).
			To(Equal("from the outside"))
		Eventually(served).Should(Receive(BeNil()))
	})

	It("bear the sender's name, whatever that is", func() {
		for _, name := range []string{"", "a\nb", "\xff\xfe", `"`, "\u2028<&"} {
			fd := must(unix.Dup(0))
			f := os.NewFile(uintptr(fd), name)
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
		Expect(reading.Call(background, reader{f, 4})).To(Equal("3456"))
		Expect(f.Seek(0, io.SeekCurrent)).To(BeEquivalentTo(7))
	})

	It("are closed in the child once they are sent", func() {
		w := start(plundering)
		t := newTap()
		for _, do := range []string{"keep", "give kept"} {
			e := errand{Do: do}
			if do == "keep" {
				e.Files = []*os.File{t.w}
			}
			back := must(w.Call(background, e))
			for _, f := range back.Files {
				must(f.Write([]byte("x")))
				Expect(f.Close()).To(Succeed(), "it is the caller's")
			}
		}
		must(w.Call(background, errand{Do: "closed?"}))
		Expect(t.r.Read(make([]byte, 9))).To(Equal(1))
		t.isShut()
	})

	DescribeTable("that nobody receives are closed", func(do string, fails bool) {
		for _, f := range []reexec.Func[errand, loot]{plundering, plunderingDeaf} {
			for _, by := range ways[errand, loot]() {
				t := newTap()
				done := make(chan error, 1)
				go func() {
					err := errors.New("goroutine has ended")
					defer func() {
						if value := recover(); value != nil {
							err = fmt.Errorf("%v", value)
						}
						done <- err
					}()
					_, err = by(f, errand{Do: do, Files: []*os.File{t.w, t.w}}, silently)
				}()
				err := received(done)
				Expect(err).To(HaveOccurred())
				t.isShut()
				Expect(children()).To(BeEmpty())
			}
		}
	},
		Entry("since the function fails", "fail", true), Entry("since it panics", "panic", true),
		Entry("since the encoder fails", "fail in child", true), Entry("since the encoder panics", "panic in child", true),
		Entry("since the encoder ends its goroutine", "end in child", true), Entry("since the decoder fails", "fail", true),
		Entry("since the decoder panics", "panic", true), Entry("since the decoder ends its goroutine", "end", true),
		Entry("since one of them is closed", "give closed", true))

	DescribeTable("in events that nobody receives are closed", func(do string, leave func()) {
		t := newTap()
		var files []*os.File
		for range 100 {
			files = append(files, t.w)
		}
		done := make(chan any)
		var heard bytes.Buffer
		go func() {
			defer close(done)
			defer func() { done <- recover() }()
			for l, err := range spoils.Call(background, errand{Do: do, Files: files, Count: 10000}, reexec.Stderr(&heard), ofGrace(time.Hour)) {
				if err != nil {
					panic(err)
				}
				for _, f := range l.Files {
					_ = f.Close()
				}
				if leave == nil {
					break
				}
				leave()
			}
		}()
		Eventually(done).Should(Receive())
		Expect(heard.String()).To(BeEmpty())
		t.isShut()
	},
		Entry("since the loop is left", "", nil), Entry("since the loop panics", "", func() { panic("loop") }),
		Entry("since the loop ends its goroutine", "", runtime.Goexit), Entry("since the decoder fails", "fail", nil),
		Entry("since the decoder panics", "panic", nil), Entry("since the decoder ends its goroutine", "end", nil),
		Entry("since the encoder fails", "fail in child", nil))

	Context("of calls that are cancelled", func() {
		It("are closed when the result comes too late", func() {
			for _, byWorker := range []bool{true, false} {
				g, t := newGate(), newTap()
				call := called(plundering, g.options(ofGrace(time.Hour))...)
				if byWorker {
					call = start(plundering, g.options(ofGrace(time.Hour))...).Call
				}
				ctx, cancel := context.WithCancelCause(background)
				done := goCall(call, ctx, errand{Do: "late", Files: []*os.File{t.w}})
				g.says("began")
				cancel(reason)
				l, err := end(done)
				Expect(err).To(MatchError(reason))
				Expect(l).To(BeZero())
				g.says("late")
				t.isShut()
			}
		})

		It("do not pile up: only n calls are sent", func() {
			g, t := newGate(), newTap()
			w := start(plunderingDeaf, g.options(ofGrace(time.Hour), reexec.Concurrency(2))...)
			var first []<-chan outcome[loot]
			for range 2 {
				first = append(first, goCall(w.Call, background, errand{Do: "hold"}))
				g.says("began")
			}
			goOn := stop(w.PID())
			ctx, cancel := context.WithCancelCause(background)
			var calls []<-chan outcome[loot]
			for range 20 {
				calls = append(calls, goCall(w.Call, ctx, errand{Files: []*os.File{t.w}}))
			}
			Consistently(calls[0], "20ms").ShouldNot(Receive())
			cancel(reason)
			for _, call := range calls {
				Expect(end(call)).Error().To(MatchError(reason))
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
			var all sync.WaitGroup
			failures := make(chan error, 8*100)
			received := 0
			var mu sync.Mutex
			for range 8 {
				all.Go(func() {
					for range 100 {
						ctx, cancel := context.WithTimeoutCause(background, rand.N(most), reason)
						l, err := w.Call(ctx, errand{Files: []*os.File{t.w, t.w}})
						cancel()
						switch {
						case errors.Is(err, reason):
							continue
						case err != nil || len(l.Files) != 2:
							failures <- fmt.Errorf("%d files: %w", len(l.Files), err)
							continue
						}
						mu.Lock()
						received++
						mu.Unlock()
						for _, f := range l.Files {
							_ = f.Close()
						}
					}
				})
			}
			all.Wait()
			Expect(failures).NotTo(Receive())
			Expect(received).To(BeNumerically(">", 0))
			t.isShut()
			Expect(w.Call(background, errand{})).To(BeZero())
		})

		It("are closed with the worker", func() {
			g, t := newGate(), newTap()
			w := start(plunderingDeaf, g.options(ofGrace(0))...)
			done := goCall(w.Call, background, errand{Do: "hold", Files: []*os.File{t.w}})
			g.says("began")
			Expect(w.Close()).To(Succeed())
			Expect(end(done)).Error().To(MatchError(os.ErrClosed))
			t.isShut()
		})
	})

	Context("that are closed", func() {
		closed := func() *os.File {
			f := file(GinkgoT().TempDir(), "closed")
			Expect(f.Close()).To(Succeed())
			return f
		}

		It("are an error, and nothing is sent", func() {
			t := newTap()
			files := []*os.File{t.w, closed()}
			_, err := plundering.Call(background, errand{Files: files})
			Expect(err).To(MatchError(os.ErrClosed))
			Expect(asActionError(err)).To(MatchError(MatchRegexp(`cannot send parameter to child, reason: cannot send file .*closed: `)))
			for _, err := range spoils.Call(background, errand{Files: files}) {
				Expect(err).To(MatchError(os.ErrClosed))
			}
			g, w := gated(plundering)
			for range 3 {
				_, err = w.Call(background, errand{Do: "hold", Files: files})
				Expect(err).To(MatchError(os.ErrClosed))
				asActionError(err)
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
			var many []*os.File
			for range 300 {
				many = append(many, t.w)
			}
			for range 200 {
				ctx, cancel := context.WithTimeoutCause(background, time.Duration(rand.N(5000))*time.Microsecond, reason)
				// If it is not cancelled it fails, too, by telling how many files there are.
				if _, err := plunderingDeaf.Call(ctx, errand{Do: "count", Files: many}); !errors.As(err, new(*reexec.FuncError)) {
					Expect(err).To(MatchError(reason))
				}
				cancel()
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
				Expect(err).To(MatchError(os.ErrClosed))
				Expect(asActionError(err)).To(MatchError(ContainSubstring("cannot send result in child, reason: cannot send file |1")))
				t.isShut()
			}
			t := newTap()
			seen := 0
			for _, err := range closedEvents.Call(background, t.w) {
				Expect(err).To(MatchError(os.ErrClosed))
				Expect(asActionError(err)).To(MatchError(ContainSubstring("cannot send event in child, reason: ")))
				seen++
			}
			Expect(seen).To(Equal(1))
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
			defer func() {
				for _, f := range e.Files {
					_ = f.Close()
				}
			}()
			w := start(plundering)
			for _, call := range []func(context.Context, errand) (loot, error){
				w.Call, w.Call,
				func(ctx context.Context, e errand) (loot, error) { return plundering.Call(ctx, e) },
			} {
				l := must(call(background, e))
				Expect(l.Files).To(HaveLen(600))
				for i, f := range l.Files {
					content := make([]byte, 10)
					n, _ := f.ReadAt(content, 0)
					Expect(string(content[:n])).To(Equal(itoa(i)))
					Expect(f.Close()).To(Succeed())
				}
			}
			seen := 0
			for l, err := range spoils.Call(background, errand{Files: e.Files}) {
				Expect(err).NotTo(HaveOccurred())
				Expect(filepath.Base(l.Files[0].Name())).To(Equal(itoa(seen)))
				Expect(l.Files[0].Close()).To(Succeed())
				seen++
			}
			Expect(seen).To(Equal(600))
		})

		// limited runs f while this process may open only few more files.
		limited := func(more int, f func()) {
			GinkgoHelper()
			var old syscall.Rlimit
			Expect(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old)).To(Succeed())
			limit := old
			for limit.Cur = 0; more >= 0; limit.Cur++ {
				if _, err := unix.FcntlInt(uintptr(limit.Cur), unix.F_GETFD, 0); err != nil {
					more--
				}
			}
			Expect(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)).To(Succeed())
			defer func() { Expect(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)).To(Succeed()) }()
			f()
		}

		It("are an error if the parent cannot send or receive them, and none is left open", func() {
			t := newTap()
			var many []*os.File
			for range 300 {
				many = append(many, t.w)
			}
			w := start(plunderingDeaf)
			limited(100, func() {
				_, err := w.Call(background, errand{Files: many})
				Expect(err).To(MatchError(syscall.EMFILE))
				Expect(asActionError(err)).To(MatchError(ContainSubstring("cannot send parameter to child, reason: cannot send file |1: ")))
				_, err = w.Call(background, errand{Do: "many", Count: 300, Files: many[:1]})
				Expect(err).To(MatchError(syscall.EMFILE))
				Expect(asActionError(err)).To(MatchError(ContainSubstring("open files could not be received")))
				l, err := w.Call(background, errand{Files: many[:1]})
				Expect(err).NotTo(HaveOccurred(), "the next ones are received")
				Expect(l.Files[0].Close()).To(Succeed())
				_, err = plunderingDeaf.Call(background, errand{Files: many})
				Expect(err).To(MatchError(syscall.EMFILE))
				asActionError(err)
				_, err = plunderingDeaf.Call(background, errand{Do: "many", Count: 300, Files: many[:1]})
				Expect(err).To(MatchError(syscall.EMFILE))
				asActionError(err)
				Expect(w.Call(background, errand{})).To(BeZero(), "the worker lives on")
			})
			t.isShut()
		})

		It("are an error if the child cannot receive or send them, and none is left open", func() {
			t := newTap()
			var many []*os.File
			for range 400 {
				many = append(many, t.w)
			}
			w := start(plundering)
			_, before := w.Call(background, errand{Do: "count"})
			must(w.Call(background, errand{Do: "limit", Count: 200}))
			for _, n := range []int{201, 253, 254, 400} {
				_, err := w.Call(background, errand{Files: many[:n]})
				Expect(err).To(MatchError(syscall.EMFILE))
				Expect(asActionError(err)).To(MatchError(ContainSubstring("cannot decode parameter in child, reason: open files could not be received")))
			}
			_, err := w.Call(background, errand{Do: "many", Count: 400, Files: many[:1]})
			Expect(err).To(MatchError(syscall.EMFILE))
			Expect(asActionError(err)).To(MatchError(ContainSubstring("cannot send result in child")))
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
		l, err := going.Call(background, rogue{Do: "no files at all"}, silently)
		if err == nil {
			for _, f := range l.Files {
				_, err = f.Stat() // must not panic
				Expect(err).To(HaveOccurred())
			}
		}
	})

	It("do not make an endless value of one that contains itself", func() {
		h := &hoard{}
		h.Nested = h
		_, err := looking.Call(background, h)
		Expect(asActionError(err)).To(MatchError(ContainSubstring("cannot send parameter to child, reason: value contains itself")))
		w := start(cyclic)
		_, err = w.Call(background, 1)
		Expect(asActionError(err)).To(MatchError(ContainSubstring("value contains itself")))
		_, err = w.Call(background, 1)
		Expect(asActionError(err)).To(MatchError(ContainSubstring("value contains itself")), "the worker lives on")
	})

	It("do not keep the child from collecting its garbage", func() {
		// Collection is paused for parameters of more than 1 MiB.
		w := start(collecting)
		for _, size := range []int{1 << 20, 1<<20 - 20, 1<<20 - 30, 1<<20 - 60, 2 << 20} {
			Expect(w.Call(background, row{strings.Repeat("x", size), os.Stdin})).To(BeNumerically(">", 0), "%d", size)
		}
	})

	DescribeTable("and types that can never travel panic at registration, and the panic names the field",
		func(register func(name string), says string) {
			Expect(func() { register("never") }).To(PanicWith(And(
				HavePrefix(`gons/reexec: function "never": `), ContainSubstring(says))))
		},
		Entry("channel", ofType[chan int], "parameter cannot travel: chan int is a channel"),
		Entry("channel in a struct", ofType[struct{ A struct{ C chan int } }], `.A.C is of type chan int, which is a channel; json:"-" leaves the field behind`),
		Entry("channel in a result", resultOfType[struct{ C <-chan int }], "result cannot travel: struct { C <-chan int }.C"),
		Entry("channel in an event", eventOfType[[]struct{ C chan int }], "event cannot travel: []struct { C chan int }.C is of type chan int"),
		Entry("function", ofType[map[string][]*struct{ F func() }], ".F is of type func()"),
		Entry("interface with methods", ofType[struct{ R io.Reader }], ".R is of type io.Reader"),
		Entry("error", resultOfType[struct{ Err error }], ".Err is of type error, which is an interface with methods"),
		Entry("complex number", ofType[struct{ C complex64 }], ".C is of type complex64"),
		Entry("larger complex number", ofType[struct{ C [2]complex128 }], ".C is of type complex128"),
		Entry("map with wrong keys", ofType[struct{ M map[float64]int }], ".M is of type map[float64]int, which has keys"),
		Entry("map with keys of a struct", ofType[struct{ M map[row]int }], ".M is of type map[integration.row]int"),
		Entry("map with keys in an interface", ofType[struct{ M map[any]int }], ".M is of type map[interface {}]int"),
		Entry("file by value", ofType[struct{ F os.File }], ".F is of type os.File, which is an open file by value"),
		Entry("file by value, itself", resultOfType[os.File], "os.File is an open file by value"),
		Entry("listener", resultOfType[*net.TCPListener], "*net.TCPListener is of type net.TCPListener, which has no exported fields, nor methods such as MarshalText and UnmarshalText; send its File()"),
		Entry("connection", resultOfType[struct{ C net.Conn }], ".C is of type net.Conn, which is an interface with methods, so the type of what is in it is not known; send its File()"),
		Entry("mutex", ofType[struct{ Mu sync.Mutex }], ".Mu is of type sync.Mutex"),
		Entry("buffer", ofType[map[string]bytes.Buffer], "map[string]bytes.Buffer is of type bytes.Buffer"),
		Entry("root directory", ofType[[]*os.Root], "is of type os.Root"),
		Entry("only what is left out", ofType[struct {
			A int `json:"-"`
		}], "has no exported fields"),
		Entry("half of an encoding", resultOfType[halfEncoding], "integration.halfEncoding has no exported fields"),
		Entry("deep in a recursive type", ofType[badNode], "badNode.Bad is of type chan int"),
		Entry("embedded struct", ofType[struct{ badNode }], ".badNode.Bad is of type chan int"))

	It("travel beside much else", func() {
		type innocent struct {
			Own       ownEncoding
			Time      time.Time
			Marshaler json.Marshaler
			Raw       json.RawMessage
			Any       any
			Keys      map[fileKey]int
			Numbers   map[int8]int
			Skipped   chan int `json:"-"`
			hidden    chan int
			Bytes     []byte
			Node      *innocent
		}
		_ = innocent{}.hidden
		Expect(func() {
			reexec.RegisterFunc("innocent", func(innocent) (i innocent, err error) { return i, nil })
		}).NotTo(Panic())
	})
})

// by tells whether a function gives a hoard with these texts.
func by(f reexec.Func[string, *hoard], dir, wanted string) error {
	for i, by := range ways[string, *hoard]() {
		sub := filepath.Join(dir, itoa(i))
		if err := os.Mkdir(sub, 0o700); err != nil {
			return err
		}
		h, err := by(f, sub)
		if err != nil {
			return err
		}
		if texts := h.texts(); texts != wanted {
			return errors.New(texts)
		}
		h.close()
	}
	return nil
}

type badNode struct {
	Next *badNode
	Bad  chan int
}

func ofType[T any](name string) { reexec.RegisterFunc(name, func(T) (int, error) { return 0, nil }) }

func resultOfType[T any](name string) {
	reexec.RegisterFuncContext(name, func(context.Context, int) (t T, err error) { return t, nil })
}

func eventOfType[T any](name string) {
	reexec.RegisterStream(name, func(context.Context, int, func(T) bool) error { return nil })
}

var listening = reexec.RegisterFunc("listening", func(network string) (*os.File, error) {
	if err := loopback(); err != nil {
		return nil, err
	}
	l, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener).File()
})

// loopback sets up the loopback interface.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

var fetching = reexec.RegisterFunc("fetching", func(address string) (string, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(conn)
	return string(b), err
})

// A reader is a file to be read from.
type reader struct {
	File *os.File
	N    int
}

var reading = reexec.RegisterFunc("reading", func(r reader) (string, error) {
	b := make([]byte, r.N)
	_, err := io.ReadFull(r.File, b)
	return string(b), err
})

var closedEvents = reexec.RegisterStream("closed events", func(_ context.Context, f *os.File, yield func(*os.File) bool) error {
	_ = f.Close()
	if yield(f) {
		return errors.New("it seems to have been sent")
	}
	return nil
})

// A cycle may contain itself.
type cycle struct {
	Next *cycle
	Map  map[string]*cycle
	File *os.File
}

var cyclic = reexec.RegisterFunc("cyclic", func(int) (*cycle, error) {
	c := &cycle{}
	c.Map = map[string]*cycle{"c": {Next: c}}
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
	send := func(text string) {
		if err := unix.Sendmsg(control, []byte(text), unix.UnixRights(int(r.File.Fd())), nil, 0); err != nil {
			panic(err)
		}
	}
	frame := func(kind byte, call byte, files byte, body string) {
		header := make([]byte, 30)
		header[0], header[9], header[21], header[29] = kind, call, files, byte(len(body))
		if _, err := unix.Write(answers, append(header, body...)); err != nil {
			panic(err)
		}
	}
	const oneFile = "F\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01"
	switch r.Do {
	case "files only":
		send(oneFile)
		return nil
	case "more files":
		send(oneFile)
		send(oneFile)
		frame('A', 1, 2, `["a","b"]`+"\n"+`{"Files":[{}]}`+"\n")
	case "frame without files":
		send(oneFile)
		frame('A', 1, 1, `["a"]`+"\n"+`{"Files":[]}`+"\n")
	case "frame of another call":
		send(oneFile)
		frame('A', 7, 1, `["a"]`+"\n"+`{"Files":[{}]}`+"\n")
	case "frame of unknown kind":
		send(oneFile)
		frame('?', 1, 1, `["a"]`+"\n"+`{"Files":[{}]}`+"\n")
	case "message that makes no sense":
		send("what?")
		frame('A', 1, 1, `["a"]`+"\n"+`{"Files":[{}]}`+"\n")
	case "no file where there should be one":
		frame('A', 1, 1, `["a"]`+"\n"+`{"Files":[{}]}`+"\n")
	case "no files at all":
		frame('A', 1, 0, `{"Files":[{}]}`+"\n")
	}
	os.Exit(0)
	return nil
}

var (
	going        = reexec.RegisterFunc("going rogue", func(r rogue) (loot, error) { return loot{}, goRogue(r) })
	goingWithout = reexec.RegisterFunc("going rogue without files", func(r rogue) (int, error) { return 0, goRogue(r) })
)
