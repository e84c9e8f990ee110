// Package frame is what a function and its caller say to each other: frames, which hold
// parameters and answers as JSON, on pipes, and messages, which hold open files and
// cancellations, on a socket beside them. Who writes them and who reads them stand side by
// side. It is for package conversation, the caller's side, and package serve, the
// function's.
package frame

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// A Kind says what a frame is.
type Kind byte

// Kinds of frames. All but the first are answers.
const (
	Param     Kind = 'P' // a parameter; begins a call
	Ready     Kind = 'R' // null; the child is in its namespaces and serves calls
	Refusal   Kind = 'S' // text: the child cannot serve at all, and ends
	Event     Kind = 'V' // an event of a stream; more are to come
	Result    Kind = 'A' // the result of a call
	Failed    Kind = 'E' // a Failure
	Panicked  Kind = 'X' // a Panic; the child ends
	Bad       Kind = 'B' // a Failure: a parameter could not be decoded, or an answer not be sent
	Withdrawn Kind = 'W' // null: the call was cancelled before it began
)

// A Failure is what travels of an error.
type Failure struct {
	Message  string
	Errno    int  `json:",omitempty"` // the first syscall.Errno in its chain
	Canceled bool `json:",omitempty"` // whether it was context.Canceled
	Deadline bool `json:",omitempty"` // whether it was context.DeadlineExceeded
	Closed   bool `json:",omitempty"` // whether it was os.ErrClosed
}

// NewFailure keeps of an error what is understood elsewhere.
func NewFailure(what string, err error) Failure {
	f := Failure{
		Message:  what + err.Error(),
		Canceled: errors.Is(err, context.Canceled),
		Deadline: errors.Is(err, context.DeadlineExceeded),
		Closed:   errors.Is(err, os.ErrClosed),
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		f.Errno = int(errno)
	}
	return f
}

// Causes are what errors.Is finds.
func (f Failure) Causes() (causes []error) {
	if f.Errno != 0 {
		causes = append(causes, syscall.Errno(f.Errno))
	}
	for _, cause := range []struct {
		is  bool
		err error
	}{{f.Deadline, context.DeadlineExceeded}, {f.Canceled, context.Canceled}, {f.Closed, os.ErrClosed}} {
		if cause.is {
			causes = append(causes, cause.err)
		}
	}
	return causes
}

// A Panic is a panic of a function.
type Panic struct {
	Value string
	Stack []byte
}

// A Header is what a frame has beside its value.
type Header struct {
	Kind     Kind
	Queued   bool   // of a parameter: other calls come first, so it may be withdrawn
	Call     uint64 // which call it belongs to
	Deadline int64  // of a parameter: the context's, in nanoseconds since 1970; 0: none
	Files    uint32 // how many open files belong to the value; they have been sent before
}

// headerSize is that of an encoded Header and the length of what follows.
const headerSize = 1 + 1 + 8 + 8 + 4 + 8

// maxAhead is how much memory, in bytes, a frame gets at the most before any of its
// bytes have arrived; then it gets as much again as has arrived. So no wrong length
// costs much.
const maxAhead = 16 << 20

// Encode encodes a value as a frame, in one piece: writing it takes one system
// call, and so its reader is woken up just once. The files are those in the value.
func Encode(h Header, value any, files []*os.File) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, headerSize))
	encoder := json.NewEncoder(&b)
	if h.Files = uint32(len(files)); h.Files > 0 {
		names := make([]string, len(files))
		for i, f := range files {
			names[i] = f.Name()
		}
		if err := encoder.Encode(names); err != nil {
			return nil, err
		}
	}
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	encoded := b.Bytes()
	encoded[0] = byte(h.Kind)
	if h.Queued {
		encoded[1] = 1
	}
	order := binary.BigEndian
	order.PutUint64(encoded[2:], h.Call)
	order.PutUint64(encoded[10:], uint64(h.Deadline))
	order.PutUint32(encoded[18:], h.Files)
	order.PutUint64(encoded[22:], uint64(len(encoded)-headerSize))
	return encoded, nil
}

// MustEncode encodes what can be encoded for sure.
func MustEncode(h Header, value any) []byte {
	encoded, err := Encode(h, value, nil)
	if err != nil {
		panic(err)
	}
	return encoded
}

// SetCall changes the call, and whether it is queued, in an encoded frame.
func SetCall(encoded []byte, call uint64, queued bool) {
	encoded[1] = 0
	if queued {
		encoded[1] = 1
	}
	binary.BigEndian.PutUint64(encoded[2:], call)
}

// A Frame is a frame that has been read.
type Frame struct {
	Header
	Length uint64 // of names and value
	names  []byte
	Value  []byte     // JSON
	Open   []*os.File // the files that have been received for it
	err    error      // why they have not
}

// UnixNano returns the deadline of a context, as a Header has it.
func UnixNano(deadline time.Time, ok bool) int64 {
	if !ok {
		return 0
	}
	return deadline.UnixNano()
}

// Unmarshal decodes the value, open files included. Those that are not wanted, also
// because of an error or a panic, are closed.
func (f *Frame) Unmarshal(value any) error {
	defer f.CloseFiles()
	if f.err != nil {
		return f.err
	}
	if err := json.Unmarshal(f.Value, value); err != nil {
		return err
	}
	if len(f.Open) == 0 {
		return nil
	}
	if err := putFiles(value, f.Open); err != nil {
		return err
	}
	f.Open = nil // they are the caller's now
	return nil
}

// CloseFiles closes the files that nobody has taken.
func (f *Frame) CloseFiles() {
	for _, open := range f.Open {
		_ = open.Close()
	}
	f.Open = nil
}

// A Reader reads frames. If its source has a deadline that passes, it can go on later.
type Reader struct {
	Large func(length uint64) // called before a frame of this [Frame.Length] is read, if not nil

	source *bufio.Reader
	next   Frame
	begun  bool   // its header has been read
	body   []byte // what has been read of the value
}

// NewReader returns a Reader.
func NewReader(source io.Reader) *Reader { return &Reader{source: bufio.NewReader(source)} }

// Next reads a frame, but for its files. An error that is no timeout means that there are
// no more: for both sides it makes no difference whether the other one has ended between
// two frames or within.
func (r *Reader) Next() (Frame, error) {
	if !r.begun {
		header, err := r.source.Peek(headerSize)
		if err != nil {
			return Frame{}, err
		}
		order := binary.BigEndian
		r.next = Frame{Header: Header{
			Kind:     Kind(header[0]),
			Queued:   header[1] != 0,
			Call:     order.Uint64(header[2:]),
			Deadline: int64(order.Uint64(header[10:])),
			Files:    order.Uint32(header[18:]),
		}, Length: order.Uint64(header[22:])}
		_, _ = r.source.Discard(headerSize) // has been peeked at
		r.begun = true
		if r.Large != nil {
			r.Large(r.next.Length)
		}
	}
	for uint64(len(r.body)) < r.next.Length {
		if len(r.body) == cap(r.body) {
			more := min(r.next.Length-uint64(len(r.body)), uint64(max(len(r.body), maxAhead)))
			r.body = append(make([]byte, 0, len(r.body)+int(more)), r.body...)
		}
		n, err := r.source.Read(r.body[len(r.body):cap(r.body)])
		r.body = r.body[:len(r.body)+n]
		if err != nil {
			return Frame{}, err
		}
	}
	f := r.next
	f.Value = r.body
	r.begun, r.body = false, nil
	if f.Files > 0 {
		var ok bool
		if f.names, f.Value, ok = bytes.Cut(f.Value, []byte("\n")); !ok {
			return Frame{}, ErrNames
		}
	}
	return f, nil
}

// ErrNames says that a frame makes no sense.
var ErrNames = errors.New("frame has files without names")

// Receive gives a frame the files that have been received for it. If some are missing, its
// value cannot be decoded.
func (f *Frame) Receive(descriptors []int, lost bool) {
	var names []string
	err := json.Unmarshal(f.names, &names)
	switch {
	case lost:
		err = fmt.Errorf("open files could not be received: %w", syscall.EMFILE)
	case err == nil && (len(names) != len(descriptors) || len(names) != int(f.Files)):
		err = errFiles
	}
	if err != nil {
		CloseAll(descriptors)
		f.err = err
		return
	}
	for i, fd := range descriptors {
		f.Open = append(f.Open, os.NewFile(uintptr(fd), names[i]))
	}
}

// errFiles says that files and values do not go together.
var errFiles = errors.New("files that do not belong to the value")
