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
	p        *Process
	excerpt  excerpt
	scalar   []byte // what has been read of a number or a word
	text     bool   // it is a text
	escaped  bool   // the next byte of the text is
	nested   bool   // it is an object or an array
	complete bool   // it is neither, and complete
	held     bool   // a descendant holds the pipe
}

func (r *answerReader) Read(b []byte) (int, error) {
	if r.complete {
		resume := r.p.Linger()
		defer resume()
	}
	n, err := r.p.Answer.Read(b)
	_, _ = r.excerpt.Write(b[:n])
	if !r.nested {
		r.look(b[:n])
	}
	if errors.Is(err, ErrHeld) {
		r.held, err = true, io.EOF
	}
	return n, err
}

// look finds out what kind of answer this is, and whether it is complete if it is a scalar.
func (r *answerReader) look(b []byte) {
	if !r.text {
		r.scalar = bytes.TrimLeft(append(r.scalar, b...), " \t\r\n")
		if len(r.scalar) == 0 {
			return
		}
		switch r.scalar[0] {
		case '{', '[':
			r.nested = true
		case '"':
			r.text, b = true, r.scalar[1:]
		default:
			r.complete = json.Valid(r.scalar)
		}
	}
	if !r.text || r.complete {
		return
	}
	for _, c := range b {
		switch {
		case r.escaped:
			r.escaped = false
		case c == '\\':
			r.escaped = true
		case c == '"':
			r.complete = true
			return
		}
	}
}
