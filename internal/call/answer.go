package call

import (
	"errors"

	"example.com/gons/reexec/internal/sys"
	"example.com/gons/reexec/internal/value"
)

// An unservedError says why a parameter could not be decoded, or an answer not be sent.
type unservedError struct {
	kind Kind   // Unread or Unserved
	what string // could not be done, before the reason
	error
}

func (e *unservedError) Unwrap() error { return e.error }

const inChild = " in child, reason: "

// conclude answers with a result, or with the reason why there is none.
func (s *server) conclude(call uint64, value any, err error) {
	if err == nil {
		if err = s.answer(header{kind: Result, call: call}, "result", value); err == nil {
			return
		}
	}
	closeFiles(value)
	failed := &unservedError{kind: Failed}
	errors.As(err, &failed)
	s.tell(header{kind: failed.kind, call: call}, newFailure(failed.what, err))
}

// answer sends the value that pointer points to, open files included, which are closed then.
func (s *server) answer(h header, what string, pointer any) error {
	h.extra = s.function.Hash
	defer closeFiles(pointer)
	o, err := encode(h, pointer)
	if err != nil {
		return &unservedError{Unserved, "cannot encode " + what + inChild, err}
	}
	open, err := duplicates(o.files)
	if err != nil {
		return &unservedError{Unserved, "cannot send " + what + inChild, err}
	}
	s.answering.Lock()
	defer s.answering.Unlock()
	if len(open) > 0 {
		if err := sendFiles(s.control.socket, h.call, open, true); err != nil { // its parent may be slow
			return &unservedError{Unserved, "cannot send " + what + inChild, err}
		}
	}
	sys.GrowPipe(s.answers, o.size())
	o.Init(s.conn, o.parts)
	if !o.Now() && o.Wait() != nil && s.control != nil {
		s.control.orphaned() // nothing reads answers any more
	}
	o.free()
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
	if err := s.answer(h, "", pointer); err != nil {
		panic(err)
	}
}
