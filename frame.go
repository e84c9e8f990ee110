package reexec

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
)

// Parameters and answers of functions travel in frames: one byte for the kind,
// eight bytes for the length (big endian), and so many bytes of JSON.
const frameHeader = 1 + 8

// The kinds of frames.
const (
	paramFrame  = 'P' // a parameter
	readyFrame  = 'R' // null; the child is in its namespaces and serves parameters
	switchFrame = 'S' // text: the child cannot serve at all
	resultFrame = 'A' // the result of a call
	errorFrame  = 'E' // a FuncError
	panicFrame  = 'X' // a PanicError; the child ends
	badFrame    = 'B' // text: a parameter could not be decoded, or a result not be encoded
)

// maxAhead is how much memory, in bytes, a frame gets at the most before any of its
// bytes have arrived; then it gets as much again as has arrived. So no wrong length
// costs much.
const maxAhead = 16 << 20

// newFrame encodes a value as a frame, in one piece: writing it takes one system
// call, and so its reader is woken up just once.
func newFrame(kind byte, value any) ([]byte, error) {
	var frame bytes.Buffer
	frame.Write(make([]byte, frameHeader))
	if err := json.NewEncoder(&frame).Encode(value); err != nil {
		return nil, err
	}
	b := frame.Bytes()
	b[0] = kind
	binary.BigEndian.PutUint64(b[1:], uint64(len(b)-frameHeader))
	return b, nil
}

// frameLength returns the length that a header tells, 0 if it is cut off.
func frameLength(header []byte) uint64 {
	if len(header) < frameHeader {
		return 0
	}
	return binary.BigEndian.Uint64(header[1:])
}

// readFrame reads a frame. Any error means that there are no more: for both sides it
// makes no difference whether the other one has ended between two frames or within.
func readFrame(r io.Reader) (kind byte, body []byte, err error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	for left := frameLength(header[:]); left > 0; {
		n := int(min(left, uint64(max(len(body), maxAhead))))
		body = append(body, make([]byte, n)...)
		if _, err := io.ReadFull(r, body[len(body)-n:]); err != nil {
			return 0, nil, err
		}
		left -= uint64(n)
	}
	return header[0], body, nil
}
