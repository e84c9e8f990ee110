package serve

import (
	"errors"
	"os"

	"example.com/gons/reexec/internal/frame"
	"example.com/gons/reexec/internal/pipe"
	"example.com/gons/reexec/internal/value"
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
	s.drop(result)
	h.Kind = frame.Bad
	var failure frame.Failure
	switch {
	case errors.As(err, &undecoded):
		failure = frame.NewFailure("cannot decode parameter in child, reason: ", err)
	case errors.As(err, &unsent):
		failure = frame.NewFailure(unsent.what+" in child, reason: ", err)
	default:
		h.Kind, failure = frame.Failed, frame.NewFailure("", err)
	}
	s.tell(h, &failure)
}

// An unsentError is the error of an answer that could not be sent.
type unsentError struct {
	what string // has happened
	error
}

func (e *unsentError) Unwrap() error { return e.error }

// answer sends the value that pointer points to, open files included, which are closed then.
func (s *server) answer(h frame.Header, pointer any) error {
	what := "result"
	if h.Kind == frame.Event {
		what = "event"
	}
	encoded, err := frame.Encode(h, pointer)
	if err != nil {
		s.drop(pointer)
		return &unsentError{"cannot encode " + what, err}
	}
	defer encoded.Free()
	defer release(encoded.Files)
	descriptors, err := frame.Duplicate(encoded.Files)
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

// drop closes the open files of an answer that is not sent.
func (s *server) drop(pointer any) {
	if s.function.Files && pointer != nil {
		release(value.Files(pointer))
	}
}

// release closes files of an answer, but for stdin, stdout and stderr, which belong to the whole process.
func release(files []*os.File) {
	for _, f := range files {
		conn, err := f.SyscallConn()
		if err != nil {
			continue
		}
		own := false
		_ = conn.Control(func(fd uintptr) { own = fd > 2 }) // fails if it is closed already
		if own {
			_ = f.Close()
		}
	}
}

// tell sends what can be encoded for sure.
func (s *server) tell(h frame.Header, pointer any) {
	s.answering.Lock()
	defer s.answering.Unlock()
	s.write(frame.MustEncode(h, pointer))
}

// write writes an answer. Where nobody listens any more, the parent has ended.
func (s *server) write(encoded *frame.Encoded) {
	pipe.Grow(s.answers, encoded.Len())
	if _, err := encoded.WriteTo(s.answers); err != nil && s.control != nil {
		s.control.orphaned()
	}
}
