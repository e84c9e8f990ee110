package call

import (
	"errors"

	"example.com/gons/reexec/internal/sys"
	"example.com/gons/reexec/internal/value"
)

// An unservedError says why a parameter could not be decoded, or an answer not be sent.
type unservedError struct {
	kind Kind   // Unread or Unserved
	what string // has happened
	error
}

func (e *unservedError) Unwrap() error { return e.error }

// conclude answers with a result, or with the reason why there is none.
func (s *server) conclude(call uint64, value any, err error) {
	if err == nil {
		if err = s.answer(header{kind: Result, call: call}, "result", value); err == nil {
			return
		}
	}
	closeFiles(value)
	var unserved *unservedError
	if errors.As(err, &unserved) {
		s.tell(header{kind: unserved.kind, call: call}, newFailure(unserved.what+" in child, reason: ", err))
	} else {
		s.tell(header{kind: Failed, call: call}, newFailure("", err))
	}
}

// answer sends the value that pointer points to, open files included, which are closed then.
func (s *server) answer(h header, what string, pointer any) error {
	h.extra = s.function.Hash
	defer closeFiles(pointer)
	o, err := encode(h, pointer)
	if err != nil {
		return &unservedError{Unserved, "cannot encode " + what, err}
	}
	open, err := duplicates(o.files)
	if err != nil {
		return &unservedError{Unserved, "cannot send " + what, err}
	}
	s.answering.Lock()
	defer s.answering.Unlock()
	if len(open) > 0 {
		if err := sendFiles(s.control.socket, h.call, open, true); err != nil { // its parent may be slow
			return &unservedError{Unserved, "cannot send " + what, err}
		}
	}
	s.write(o)
	return nil
}

// closeFiles closes the open files in the value that pointer points to, but never a standard stream.
func closeFiles(pointer any) {
	if pointer == nil {
		return
	}
	for _, f := range value.Files(pointer) {
		if !sys.IsStandard(f) {
			_ = f.Close()
		}
	}
}

// tell sends what can be encoded for sure.
func (s *server) tell(h header, pointer any) {
	h.extra = s.function.Hash
	o, err := encode(h, pointer)
	if err != nil {
		panic(err)
	}
	s.answering.Lock()
	defer s.answering.Unlock()
	s.write(o)
}

// write writes an answer. Where nothing reads it any more, the parent has ended.
func (s *server) write(o *outgoing) {
	sys.GrowPipe(s.answers, o.size())
	var err error
	if len(o.parts) == 1 {
		_, err = s.answers.Write(o.parts[0])
	} else {
		o.Init(s.conn, o.parts)
		err = o.Wait()
	}
	if err != nil && s.control != nil {
		s.control.orphaned()
	}
	o.free()
}
