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
	scalar   []byte // what has been read, unless it is an object or an array
	nested   bool   // it is
	complete bool   // scalar is
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
	r.scalar = bytes.TrimLeft(append(r.scalar, b...), " \t\r\n")
	if len(r.scalar) == 0 {
		return
	}
	r.complete = json.Valid(r.scalar)
	switch first := r.scalar[0]; {
	case first == '{' || first == '[':
		r.nested, r.complete, r.scalar = true, false, nil
	case first == '"' && !r.complete:
		// Of the middle of a text, which may be long, only one thing matters: is the next byte escaped?
		slashes := len(r.scalar) - len(bytes.TrimRight(r.scalar, `\`))
		r.scalar = append(r.scalar[:1], `\`[:slashes%2]...)
	}
}
