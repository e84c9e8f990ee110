package reexec

import (
	"bufio"
	"bytes"
	"runtime"
	"testing"
)

// A child may send anything, above all one in a hostile container. Whatever it
// sends, the parent neither panics nor waits for more than there is, nor gives
// it memory without bound.
func FuzzAnswer(f *testing.F) {
	for kind, value := range map[byte]any{
		readyFrame:  nil,
		switchFrame: "package gons: no",
		resultFrame: "result",
		errorFrame:  &FuncError{Func: "f", Message: "m", Errno: 2},
		panicFrame:  &PanicError{Func: "f", Value: "v", Stack: []byte("s")},
		badFrame:    "bad",
		'?':         "what",
	} {
		frame, err := newFrame(kind, value)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
		f.Add(frame[:len(frame)-1])
	}
	f.Add([]byte{resultFrame, 255, 255, 255, 255, 255, 255, 255, 255, '1'})
	f.Add([]byte{resultFrame, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, result := range []any{nil, new(any)} {
			l := &line{action: &ReexecAction{isFunc: true}, answers: bufio.NewReader(bytes.NewReader(b))}
			_ = l.receive(result)
		}
		runtime.ReadMemStats(&after)
		// Two runs, and twice as much with the race detector; others allocate too.
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > uint64(5*maxAhead+1000*len(b)) {
			t.Errorf("%d bytes take %d bytes of memory", len(b), allocated)
		}
	})
}

// Frames arrive as they were sent.
func FuzzFrame(f *testing.F) {
	f.Add("", byte('a'))
	f.Add("text", byte(0))
	f.Fuzz(func(t *testing.T, text string, kind byte) {
		frame, err := newFrame(kind, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		k, body, err := readFrame(bytes.NewReader(append(frame, "more"...)))
		if err != nil || k != kind || !bytes.Equal(body, frame[frameHeader:]) {
			t.Errorf("%c %q %v", k, body, err)
		}
	})
}
