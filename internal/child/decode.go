package child

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"

	"example.com/gons/reexec/internal/sys"
)

const maxQuoted = 128 // bytes kept of each the beginning and the end of an undecodable answer

// Decode decodes the answer into result and reads on to the end of file. With an
// error it returns an excerpt of all that it has read. The child may linger after its
// answer, and also after one that makes no sense. Without a result all is dropped.
func (c *Child) Decode(result any) (seen string, err error) {
	answer := &answerReader{c: c, excerpt: excerpt{limit: maxQuoted}}
	if result != nil {
		err = json.NewDecoder(answer).Decode(result)
		c.Linger()
	}
	_, _ = io.CopyBuffer(&answer.excerpt, c.Answer, make([]byte, 512))
	switch {
	case err == nil:
		return "", nil
	case answer.held && (err == io.EOF || err == io.ErrUnexpectedEOF):
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
	held    bool // a descendant holds the pipe
}

func (r *answerReader) Read(b []byte) (int, error) {
	n, err := r.c.Answer.Now(b)
	if err == sys.EAGAIN {
		if r.excerpt.mayBeScalar() {
			defer r.c.Linger().Stop()
		}
		n, err = r.c.Answer.Read(b)
	}
	_, _ = r.excerpt.Write(b[:n])
	if err == ErrHeld {
		r.held, err = true, io.EOF
	}
	return n, err
}

// mayBeScalar tells whether what was written may be a number, a text or a word to which nothing more needs to come. The
// end of anything else is known to the decoder.
func (e *excerpt) mayBeScalar() bool {
	said := bytes.TrimLeft(slices.Concat(e.head, e.tail), " \t\r\n")
	switch {
	case len(said) == 0 || said[0] == '{' || said[0] == '[':
		return false
	case e.dropped == 0 || said[0] != '"':
		return json.Valid(said)
	}
	text, quoted := bytes.CutSuffix(said, []byte(`"`)) // the end of a long text is a quote that is not escaped
	return quoted && (len(text)-len(bytes.TrimRight(text, `\`)))%2 == 0
}
