package reexec

import (
	"os"
	"testing"
)

// Whatever an intermediate process sends, the parent takes it for a message or for
// an error, and knows who has sent it.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"PID":42}`))
	f.Add([]byte(`{"Failure":"package gons: no: operation not permitted","Errno":1,"Join":true}`))
	f.Add([]byte(`{"Failure":"no","Errno":-1}`))
	f.Add([]byte(`?`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > maxMessage {
			return // an empty one is the end of file
		}
		ours, theirs, err := socketPair()
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		if _, err := theirs.Write(b); err != nil {
			t.Fatal(err)
		}
		theirs.Close()
		m, err := receive(ours)
		if err == nil && m.sender != os.Getpid() {
			t.Errorf("sent by %d", m.sender)
		}
		if err == nil && m.Failure != "" && m.error().Error() == "" {
			t.Error("failure without words")
		}
	})
}
