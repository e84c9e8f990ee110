package frame

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"example.com/gons/reexec/internal/specs"
)

// Frames arrive as they were sent, one after the other.
func FuzzFrame(f *testing.F) {
	f.Add(byte('a'), false, uint64(0), int64(0), "")
	f.Add(byte(0), true, uint64(1<<63), int64(-1), "text\n")
	f.Fuzz(func(t *testing.T, kind byte, queued bool, call uint64, deadline int64, text string) {
		h := Header{Kind: Kind(kind), Queued: queued, Call: call, Deadline: deadline}
		value := []byte(text)
		encoded := MustEncode(h, &value).Bytes()
		r := NewReader(bytes.NewReader(slices.Concat(encoded, encoded)))
		for range 2 {
			var got []byte
			f, err := r.Next()
			if err := errors.Join(err, f.Decode(&got)); err != nil || f.Header != h || string(got) != text {
				t.Errorf("%v %q %v", f.Header, got, err)
			}
		}
	})
}

// A child may send anything, above all one in a hostile container. Whatever it
// sends, its parent neither panics nor waits for more than there is, nor gives
// it memory without bound.
func FuzzAnswer(f *testing.F) {
	for kind, value := range map[Kind]any{
		Ready:     nil,
		Refusal:   "package gons: no",
		Result:    "result",
		Event:     []any{1, map[string]any{"File": []byte("a")}},
		Failed:    Failure{Message: "m", Errnos: []syscall.Errno{2}, Is: []int{2, 99}},
		Panicked:  Panic{Value: "v", Stack: []byte("s")},
		Bad:       "bad",
		Withdrawn: nil,
		'?':       "what",
	} {
		encoded := MustEncode(Header{Kind: kind, Call: 1}, specs.Pointer(value)).Bytes()
		f.Add(encoded)
		f.Add(slices.Concat(encoded, encoded[:len(encoded)-1]))
	}
	f.Add(withFiles(1, 1))
	f.Add(withFiles(-1<<31, 1)) // as many as 1<<31
	wrong := MustEncode(Header{Kind: Result}, new(int)).Bytes()
	copy(wrong[30:], "\xff\xff\xff\xff\xff\xff\xff\xff")
	f.Add(wrong)
	f.Add(make([]byte, headerSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for r, n := NewReader(bytes.NewReader(b)), 0; ; n++ {
			frame, err := r.Next()
			if err != nil {
				break
			}
			frame.Receive(nil, nil)
			value := []any{new(any), new(Failure), new(Panic), new([]*os.File)}[n%4]
			_ = frame.Decode(value)
			if failure, ok := value.(*Failure); ok {
				_ = failure.Causes()
			}
		}
		runtime.ReadMemStats(&after)
		// Twice as much with the race detector; others allocate too.
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > uint64(5*maxAhead/2+1000*len(b)) {
			t.Errorf("%d bytes take %d bytes of memory", len(b), allocated)
		}
	})
}

// Messages arrive as they were sent, and whatever arrives makes sense or is an error.
func FuzzMessage(f *testing.F) {
	for _, m := range []Message{
		{Call: 1, Cancel: true, Err: errCanceled, Cause: "context canceled"},
		{Call: 1 << 63, Cancel: true, Err: errDeadline, Cause: "lunch"},
		{Call: 2, Cancel: true},
		{Call: 3, Withdraw: true},
		{Call: 3},
	} {
		f.Add(m.bytes())
		f.Add(m.bytes()[:9])
	}
	f.Add([]byte("F12345678\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b, nil)
		if err != nil {
			if !reflect.DeepEqual(m, Message{}) {
				t.Errorf("%v and %v", m, err)
			}
			return
		}
		if err, cause := m.ContextErr(); err == nil || cause == nil {
			t.Errorf("%v has %v, %v", m, err, cause)
		}
		if m.Lost != nil || len(m.Cause) > maxCause {
			return
		}
		if again, err := parseMessage(m.bytes(), nil); err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%v is %v, %v", m, again, err)
		}
	})
}
