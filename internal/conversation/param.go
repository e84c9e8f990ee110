package conversation

import (
	"context"

	"example.com/gons/reexec/internal/frame"
)

// A Param is an encoded parameter.
type Param struct{ encoded *frame.Encoded }

// NewParam encodes the parameter that pointer points to.
func (s Spec) NewParam(ctx context.Context, pointer any) (p Param, err error) {
	h := frame.Header{Kind: frame.Param, Call: 1, Types: s.Types, Deadline: frame.UnixNano(ctx.Deadline())}
	p.encoded, err = frame.Encode(h, pointer)
	return p, err
}
