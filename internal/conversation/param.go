package conversation

import (
	"context"
	"os"

	"example.com/gons/reexec/internal/frame"
)

// A Param is an encoded parameter.
type Param struct {
	encoded *frame.Encoded
	files   []*os.File
}

// NewParam encodes a parameter.
func (s Spec) NewParam(ctx context.Context, value any) (p Param, err error) {
	if s.Files {
		p.files = frame.FilesOf(value)
	}
	h := frame.Header{Kind: frame.Param, Call: 1, Deadline: frame.UnixNano(ctx.Deadline())}
	p.encoded, err = frame.Encode(h, value, p.files)
	return p, err
}
