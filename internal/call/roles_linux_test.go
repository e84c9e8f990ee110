package call

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// short is a grace period that nobody wants to wait for twice.
const short = 50 * time.Millisecond

var (
	errEnough  = errors.New("enough")
	background = context.Background()
)

// A request is a parameter, and a result.
type request struct {
	Do   string
	Text string
	File *os.File
}

// obey does what a request asks for.
func (r *request) obey(ctx context.Context) error {
	switch r.Do {
	case "wait":
		<-ctx.Done()
		return context.Cause(ctx)
	case "sleep":
		time.Sleep(time.Minute)
	case "read":
		_, _ = io.Copy(io.Discard, r.File)
	case "same":
		r.Text = fmt.Sprint(strings.Count(r.Text, r.Text[:1]) == len(r.Text))
		fmt.Fprint(os.Stderr, r.Text)
	}
	return nil
}

func init() {
	// A child that serves what its parameter says.
	specs.Roles["serve"] = func([]string) {
		o := child.TakeOrders()
		Serve(o, Function{Name: o.Action, Context: o.Action == "obedient",
			Call: func(ctx context.Context, decode func(any) error, _ func(any) bool) (any, error) {
				var r request
				if err := decode(&r); err != nil {
					return nil, err
				}
				return &r, r.obey(ctx)
			}})
	}
	specs.Roles["hostile"] = beHostile
}

// beHostile is the main function of a child that says what it likes: one thing an argument.
func beHostile(args []string) {
	o := child.TakeOrders()
	answers, socket := os.NewFile(uintptr(o.Answers), "answers"), os.NewFile(uintptr(o.Control), "control")
	null, _ := os.Open(os.DevNull)
	for _, arg := range args {
		var word, kind, value string
		var call uint64
		var n int
		_, _ = fmt.Sscan(arg, &word, &call, &n, &kind, &value)
		nulls := slices.Repeat([]*os.File{null}, n%1000)
		said := any(value)
		if n > 0 && value != "none" {
			said = nulls
		}
		switch word {
		case "files":
			descriptors, _ := duplicates(nulls)
			_ = sendFiles(socket, call, descriptors, false)
		case "cancel":
			tell(socket, header{Kind: cancel, call: call}, new(string))
		case "frame", "frames":
			b := mustEncode(header{Kind: Kind(kind[0]), call: call}, said, 0)
			h := parseHeader(b)
			h.files = uint32(n)
			if value == "hash" {
				h.extra = 7
			}
			h.put(b)
			if word == "frames" {
				flood(o.Answers, bytes.Repeat(b, 4096/len(b))) // which one write does not part (PIPE_BUF, pipe(7))
			}
			_, _ = answers.Write(b)
		case "endless": // frame
			b := make([]byte, 64<<10)
			header{Kind: Result, call: call, size: 1 << 60}.put(b)
			_, _ = answers.Write(b)
			flood(o.Answers, b)
		case "bytes":
			_, _ = answers.Write(bytes.Repeat([]byte{byte(call)}, n))
		case "read":
			_, _ = io.ReadFull(os.Stdin, make([]byte, headerSize+1))
		case "linger":
			time.Sleep(time.Minute)
		}
	}
}

// flood writes without end, from many threads: so the other end meets no silence.
func flood(fd int, b []byte) {
	for range 2 {
		go func() {
			for {
				if _, err := unix.Write(fd, b); err != nil {
					os.Exit(1)
				}
			}
		}()
	}
	select {}
}

// plays has a child play a role.
func plays(role string, args ...string) Spec {
	return Spec{Spec: child.Spec{Env: []string{specs.Role(role, args...)}, Grace: time.Minute}}
}

// plain is a function that knows no context.
func plain() Spec { return plays("serve") }

// obedient is a function that obeys its context.
func obedient() Spec {
	spec := plays("serve")
	spec.Action, spec.Context = "obedient", true
	return spec
}

// worker starts a child for many calls, which ends with the spec.
func worker(spec Spec, concurrency int) *Worker {
	GinkgoHelper()
	spec.Concurrency = concurrency
	w := specs.OK(Start(background, spec))
	DeferCleanup(func() {
		w.hasNothingLeft()
		w.Kill()
	})
	return w
}

// result calls, and returns the result.
func (w *Worker) result(r request) (result request) {
	GinkgoHelper()
	answer := specs.OK(w.Call(background, &r))
	g.Expect(string(rune(answer.Kind))).To(g.Equal("R"), "%s", answer.value)
	g.Expect(answer.Decode(&result)).To(g.Succeed())
	return result
}

// calling calls elsewhere, and tells its error.
func (w *Worker) calling(ctx context.Context, r request) (ended chan error) {
	GinkgoHelper()
	ended = make(chan error, 1)
	go func() {
		answer, err := w.Call(ctx, &r)
		answer.Close()
		ended <- err
	}()
	return ended
}

// locked does what needs mu, and gives it back even if an assertion fails.
func (c *Conversation) locked(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// sent waits until so many calls are unanswered.
func (w *Worker) sent(n int) {
	GinkgoHelper()
	g.Eventually(func() (sent int) {
		w.locked(func() { sent = len(w.calls) })
		return sent
	}).Should(g.Equal(n))
}

// arrived waits until there is something to be read from the child, which may have ended after that. What reads for calls must not.
func (c *Conversation) arrived() {
	c.p.Answer.Poll(func(fd uintptr) bool {
		n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		return n > 0 || err != nil
	})
}
