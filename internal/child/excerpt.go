package child

import "fmt"

// An excerpt is an io.Writer that keeps the beginning and the end of what is
// written to it, in bounded memory. It never fails.
type excerpt struct {
	limit   int    // of the beginning, and of the end, in bytes
	head    []byte // the first limit bytes
	tail    []byte // the last limit bytes or more of what follows them
	dropped int64  // number of bytes between head and tail that were not kept
}

func (e *excerpt) Write(b []byte) (int, error) {
	fits := min(e.limit-len(e.head), len(b))
	e.head = append(e.head, b[:fits]...)
	e.tail = append(e.tail, b[fits:]...)
	// Cutting only what has doubled copies each byte at most once more.
	if len(e.tail) > 2*e.limit {
		e.cut()
	}
	return len(b), nil
}

// cut drops all but the last limit bytes of the tail.
func (e *excerpt) cut() {
	if excess := len(e.tail) - e.limit; excess > 0 {
		e.dropped += int64(excess)
		e.tail = e.tail[:copy(e.tail, e.tail[excess:])]
	}
}

// String returns the beginning and the end, and says how much is missing between
// them, if anything is.
func (e *excerpt) String() string {
	e.cut()
	if e.dropped == 0 {
		return string(e.head) + string(e.tail)
	}
	return fmt.Sprintf("%s\n[... %d bytes left out ...]\n%s", e.head, e.dropped, e.tail)
}

// Excerpt returns the beginning and the end of a text, so many bytes of each.
func Excerpt(text string, limit int) string {
	e := excerpt{limit: limit}
	_, _ = e.Write([]byte(text))
	return e.String()
}
