package call

import "context"

// A Param is an encoded parameter.
type Param struct{ *outgoing }

// NewParam encodes the parameter that pointer points to.
func NewParam(ctx context.Context, pointer any) (Param, error) {
	o, err := encode(header{kind: called, call: 1, extra: unixNano(ctx.Deadline())}, pointer)
	if err != nil {
		return Param{}, &UnsentError{err}
	}
	return Param{o}, nil
}

// An Answer is what a child answers to a call.
type Answer struct {
	frame
	Relay error // why what the child has printed could not be passed on
}

// Kind tells which answer it is.
func (a *Answer) Kind() Kind { return a.kind }

// Decode decodes the value of an answer, open files included, which else are closed.
func (a *Answer) Decode(pointer any) error { return a.decode(pointer) }

// Close closes the open files of an answer that is not decoded.
func (a *Answer) Close() { a.close() }
