package child

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

const maxQuoted = 128 // bytes kept of each the beginning and the end of an undecodable answer

// Decode decodes the answer into result and reads on to the end of file. With an
// error it returns an excerpt of all that it has read. The child may linger after its
// answer, and also after one that makes no sense. Without a result all is dropped.
func (c *Child) Decode(result any) (seen string, err error) {
	if result == nil {
		_, _ = io.Copy(io.Discard, c.Answer)
		return "", nil
	}
	answer := &answerReader{c: c}
	answer.excerpt.limit = maxQuoted
	err = json.NewDecoder(answer).Decode(result)
	c.Linger()
	_, _ = io.Copy(&answer.excerpt, c.Answer)
	if err == nil {
		return "", nil
	}
	if answer.held && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		err = ErrHeld
	}
	return answer.excerpt.String(), err
}

// An answerReader reads an answer for a decoder, which wants one more byte after a number, a
// text or a word: they are complete when the child has ended, or has said nothing more
// for the grace period.
type answerReader struct {
	c       *Child
	excerpt excerpt
	scalar  []byte // what has been read, if it is a number, a text or a word
	nested  bool   // it is an object or an array
	held    bool   // a descendant holds the pipe
}

func (r *answerReader) Read(b []byte) (int, error) {
	if r.mayBeComplete() {
		resume := r.c.Linger()
		defer resume()
	}
	n, err := r.c.Answer.Read(b)
	_, _ = r.excerpt.Write(b[:n])
	if !r.nested {
		r.scalar = bytes.TrimLeft(append(r.scalar, b[:n]...), " \t\r\n")
		if r.nested = bytes.HasPrefix(r.scalar, []byte("{")) || bytes.HasPrefix(r.scalar, []byte("[")); r.nested {
			r.scalar = nil
		}
	}
	if errors.Is(err, ErrHeld) {
		r.held, err = true, io.EOF
	}
	return n, err
}

// mayBeComplete tells whether nothing more needs to come.
func (r *answerReader) mayBeComplete() bool {
	if !bytes.HasPrefix(r.scalar, []byte(`"`)) {
		return len(r.scalar) > 0 && json.Valid(r.scalar)
	}
	// A text may be long, so only its end is looked at: it is a quote that is not escaped.
	text, quoted := bytes.CutSuffix(r.scalar, []byte(`"`))
	escapes := len(text) - len(bytes.TrimRight(text, `\`))
	return quoted && len(text) > 0 && escapes%2 == 0
}
