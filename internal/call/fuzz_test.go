package call

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// Frames arrive as they were sent, one after the other, in pieces of any size.
func FuzzFrame(f *testing.F) {
	f.Add(byte('a'), uint64(0), int64(0), uint32(0), "", 1)
	f.Add(byte(called), uint64(1<<64-1), int64(1<<63-1), uint32(1<<32-1), "all there is", 1000)
	f.Add(byte(called), uint64(1<<32), int64(-1), uint32(0), "a deadline of long ago", 1000)
	for _, size := range []int{0, 100, bufferSize - headerSize - 3, bufferSize - headerSize - 2, 300_000} { // two around what fills the buffer
		for _, some := range []int{1, 2, 3, 7, headerSize - 1, headerSize, headerSize + 1, 100, 130, 131, 132, 133, 1000, bufferSize - 1, bufferSize, bufferSize + 1, 1 << 20} {
			if size < 1000*some {
				f.Add(byte(Event), uint64(3), int64(0), uint32(0), strings.Repeat("x", size), some)
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, call uint64, extra int64, files uint32, text string, some int) {
		h := header{Kind: Kind(kind), call: call, extra: extra, files: files}
		encoded := mustEncode(h, []byte(text), 0)
		frames := feed(slices.Concat(encoded, encoded, encoded), max(1, some))
		if len(frames) != 3 {
			t.Fatal(frames)
		}
		h.size = uint64(len(encoded) - headerSize)
		for _, f := range frames {
			var got []byte
			if err := f.Decode(&got); err != nil || f.header != h || string(got) != text {
				t.Errorf("%v %.100q %v", f.header, got, err)
			}
		}
	})
}

// A child may send anything, above all one in a hostile container. Whatever it
// sends, its parent neither panics nor waits for more than there is, nor gives
// it memory without bound.
func FuzzAnswer(f *testing.F) {
	for kind, value := range map[Kind]any{
		ready:    nil,
		Refused:  "package gons: no",
		Ended:    "signal",
		Result:   "result",
		Event:    []any{1, map[string]any{"File": []byte("a")}},
		Failed:   Failure{Message: "m", Errnos: []syscall.Errno{2}, Known: []int{2, 99}, Foreign: []int{0, -1}},
		Panicked: Panic{Value: "v", Stack: []byte("s")},
		Unserved: "bad",
		Unread:   "bad",
		stack:    []byte("goroutine 1"),
		'?':      "what",
	} {
		encoded := mustEncode(header{Kind: kind, call: 1}, value, 0)
		f.Add(encoded)
		f.Add(slices.Concat(encoded, encoded[:len(encoded)-1]))
	}
	f.Add(mustEncode(header{Kind: Result, call: 1}, []*os.File{os.Stdin}, 1))
	f.Add(mustEncode(header{Kind: Event, call: 1}, []*os.File{os.Stdin}, -1<<31)) // as many as 1<<31
	huge := mustEncode(header{Kind: Result, call: 1}, 1, 0)
	copy(huge[headerSize-8:], "\xff\xff\xff\xff\xff\xff\xff\xff")
	f.Add(huge)
	f.Add(make([]byte, headerSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs, err := sys.SocketPair()
		if err != nil {
			t.Skip(err)
		}
		defer sys.CloseAll(ours, theirs)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c := &Conversation{spec: Spec{Stream: true}, p: &child.Child{Control: ours}, lost: make(chan struct{}), over: make(chan struct{})}
		asked := &Call{number: 1, answers: make(chan Frame, 1)}
		c.calls = append(c.calls, asked)
		for n, f := range feed(b, len(b)) {
			if c.deliver(&f); child.IsClosed(c.lost) {
				break
			}
			select {
			case f := <-asked.answers:
				value := []any{new(any), new(Failure), new(Panic), new([]*os.File)}[n%4]
				_ = f.Decode(value)
				if failure, ok := value.(*Failure); ok {
					_ = failure.Causes()
				}
			default:
			}
		}
		runtime.ReadMemStats(&after)
		// Twice as much with the race detector; others allocate too.
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > uint64(5*atOnce/2+1000*len(b)) {
			t.Errorf("%d bytes take %d bytes of memory", len(b), allocated)
		}
	})
}

// Whatever a child gets on its socket is a message, or nothing.
func FuzzMessage(f *testing.F) {
	why := "lunch"
	for kind, value := range map[Kind]any{cancel: why, dump: nil, files: nil, '?': 1} {
		encoded := mustEncode(header{Kind: kind, call: 1, extra: 1}, value, 0)
		f.Add(encoded)
		f.Add(encoded[:headerSize-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs, err := sys.SocketPair()
		if err != nil || len(b) == 0 || len(b) > sys.MaxMessage {
			t.Skip(err)
		}
		defer sys.CloseAll(ours, theirs)
		if err := sys.Send(ours, b, nil, false); err != nil {
			t.Skip(err)
		}
		f, err := receive(theirs)
		if err != nil || len(f.open) > 0 || (f.Kind == files && f.files > 0) != (f.lost != nil) {
			t.Errorf("%v, %v", f, err)
		}
		c := &control{s: &server{signals: &signals{}}, running: map[uint64]context.CancelCauseFunc{1: func(error) {}}}
		c.cancel(&f)
	})
}
