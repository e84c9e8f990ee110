package serve

import (
	"errors"
	"os"

	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/pipe"
)

// A decodeError is the error of a parameter that could not be decoded.
type decodeError struct{ error }

func (e *decodeError) Unwrap() error { return e.error }

// conclude answers with a result, or with the reason why there is none.
func (s *server) conclude(call uint64, result any, err error) {
	h := frame.Header{Kind: frame.Result, Call: call}
	var undecoded *decodeError
	var unsent *unsentError
	if err == nil {
		if err = s.answer(h, result); err == nil {
			return
		}
	}
	frame.CloseFiles(s.filesOf(result))
	h.Kind = frame.Bad
	switch {
	case errors.As(err, &undecoded):
		s.tell(h, frame.NewFailure("cannot decode parameter in child, reason: ", err))
	case errors.As(err, &unsent):
		s.tell(h, frame.NewFailure(unsent.what+" in child, reason: ", err))
	default:
		h.Kind = frame.Failed
		s.tell(h, frame.NewFailure("", err))
	}
}

// An unsentError is the error of an answer that could not be sent.
type unsentError struct {
	what string // has happened
	error
}

func (e *unsentError) Unwrap() error { return e.error }

// answer sends a value, open files included, which are closed then.
func (s *server) answer(h frame.Header, value any) error {
	files := s.filesOf(value)
	defer frame.CloseFiles(files)
	what := "result"
	if h.Kind == frame.Event {
		what = "event"
	}
	encoded, err := frame.Encode(h, value, files)
	if err != nil {
		return &unsentError{"cannot encode " + what, err}
	}
	defer encoded.Free()
	descriptors, err := frame.Duplicate(files)
	if err != nil {
		return &unsentError{"cannot send " + what, err}
	}
	s.answering.Lock()
	defer s.answering.Unlock()
	if len(descriptors) > 0 {
		if err := s.control.sendFiles(h.Call, descriptors); err != nil {
			return &unsentError{"cannot send " + what, err}
		}
	}
	s.write(encoded)
	return nil
}

// filesOf returns the open files in an answer.
func (s *server) filesOf(value any) []*os.File {
	if !s.function.Files {
		return nil
	}
	return frame.FilesOf(value)
}

// tell sends what can be encoded for sure.
func (s *server) tell(h frame.Header, value any) {
	s.answering.Lock()
	defer s.answering.Unlock()
	s.write(frame.MustEncode(h, value))
}

// write writes an answer. Where nobody listens any more, the parent has ended.
func (s *server) write(encoded *frame.Encoded) {
	pipe.Grow(s.answers, len(encoded.Bytes()))
	if _, err := s.answers.Write(encoded.Bytes()); err != nil && s.control != nil {
		s.control.orphaned()
	}
}
