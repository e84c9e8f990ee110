package call

import (
	"fmt"
	"os"

	"example.com/gons/reexec/internal/sys"
	"example.com/gons/reexec/internal/value"
)

// conclude answers a call with its result, or with an error of a kind.
func (s *server) conclude(call uint64, result any, kind Kind, err error) {
	if err == nil {
		if err = s.answer(header{Kind: Result, call: call}, "result", result); err == nil {
			return
		}
		kind = Unserved
	} else if result != nil {
		closeFiles(value.Files(result))
	}
	s.tell(header{Kind: kind, call: call}, newFailure(err))
}

// answer sends the value that pointer points to, and its open files, which it closes. Its error says why the value cannot be
// sent. A parent that has ended is no error.
func (s *server) answer(h header, what string, pointer any) error {
	h.extra = s.function.Hash
	o, err := encode(h, pointer)
	if err != nil {
		closeFiles(value.Files(pointer))
		return fmt.Errorf("cannot encode %s in child, reason: %w", what, err)
	}
	defer closeFiles(o.files)
	open, err := duplicates(o.files)
	s.answering.Lock()
	defer s.answering.Unlock()
	if len(open) > 0 {
		err = sendFiles(s.control.socket, h.call, open, true) // its parent may be slow
	}
	if err != nil {
		return fmt.Errorf("cannot send %s in child, reason: %w", what, err)
	}
	sys.GrowPipe(s.answers, o.size())
	for _, part := range o.parts {
		if _, err = s.answers.Write(part); err != nil { // the parent has ended
			if s.control != nil {
				s.control.orphaned()
			}
			return nil
		}
	}
	o.free()
	return nil
}

// tell sends what can be encoded for sure.
func (s *server) tell(h header, pointer any) { _ = s.answer(h, "", pointer) }

// closeFiles closes the open files of a value, but never a standard stream.
func closeFiles(files []*os.File) {
	for _, f := range files {
		if !sys.IsStandard(f) {
			_ = f.Close()
		}
	}
}
