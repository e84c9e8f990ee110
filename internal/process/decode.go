package process

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
func (p *Process) Decode(result any) (seen string, err error) {
	if result == nil {
		_, _ = io.Copy(io.Discard, p.Answer)
		return "", nil
	}
	answer := &answerReader{p: p}
	answer.excerpt.limit = maxQuoted
	err = json.NewDecoder(answer).Decode(result)
	p.Linger()
	_, _ = io.Copy(&answer.excerpt, p.Answer)
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
	p       *Process
	excerpt excerpt
	scalar  []byte // what has been read, unless it is an object or an array
	nested  bool   // it is
	held    bool   // a descendant holds the pipe
}

// mayBeComplete tells whether what has been read is a scalar to its end. To look at all of it each
// time would take too long for a long text.
func (r *answerReader) mayBeComplete() bool {
	scalar := bytes.TrimRight(r.scalar, " \t\r\n")
	text, isText := bytes.CutSuffix(scalar, []byte{'"'})
	if isText {
		escapes := len(text) - len(bytes.TrimRight(text, `\`))
		return escapes%2 == 0 && json.Valid(scalar)
	}
	return len(scalar) <= 2*maxQuoted && json.Valid(scalar) // no number or word is longer
}

func (r *answerReader) Read(b []byte) (int, error) {
	if r.mayBeComplete() {
		resume := r.p.Linger()
		defer resume()
	}
	n, err := r.p.Answer.Read(b)
	_, _ = r.excerpt.Write(b[:n])
	if !r.nested {
		r.scalar = append(r.scalar, b[:n]...)
		first := bytes.TrimLeft(r.scalar, " \t\r\n")
		if r.nested = bytes.HasPrefix(first, []byte("{")) || bytes.HasPrefix(first, []byte("[")); r.nested {
			r.scalar = nil
		}
	}
	if errors.Is(err, ErrHeld) {
		r.held, err = true, io.EOF
	}
	return n, err
}
