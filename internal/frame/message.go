package frame

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"time"
	"unicode/utf8"
)

// A Message travels on the socket between a function and its caller, beside the
// frames. It is a withdrawal, a cancellation, or a part of the open files of a value, which
// are sent before its frame.
type Message struct {
	Call uint64 // which call it belongs to

	Withdraw bool // the call is not to begin; if it has, this means nothing

	Cancel bool
	Err    byte   // of a cancellation: what the context's Err is, see ContextErr
	Cause  string // and its cause, as text

	Files []int // descriptors of the files; less than the sender says if they could not be received
	Count int   // how many files the sender says there are; not needed to send them
	Lost  error // why files are missing
}

// What the Err of a context is.
const (
	errCanceled = 'c'
	errDeadline = 'd'
	errOther    = 'o'
)

// Cancellation is the message of a context's end.
func Cancellation(call uint64, ctx context.Context) Message {
	m := Message{Call: call, Cancel: true, Cause: context.Cause(ctx).Error()}
	switch ctx.Err() {
	case context.Canceled:
		m.Err = errCanceled
	case context.DeadlineExceeded:
		m.Err = errDeadline
	default:
		m.Err = errOther
	}
	return m
}

// Unwanted is the message that nobody wants the answers to a call any more.
func Unwanted(call uint64) Message {
	return Message{Call: call, Cancel: true, Err: errCanceled, Cause: context.Canceled.Error()}
}

// Withdrawal is the message that a call is not to begin.
func Withdrawal(call uint64) Message { return Message{Call: call, Withdraw: true} }

// ContextErr returns what Err and Cause of the context in the child are.
func (m Message) ContextErr() (err, cause error) {
	cause = errors.New(m.Cause)
	switch m.Err {
	case errCanceled:
		err = context.Canceled
	case errDeadline:
		err = context.DeadlineExceeded
	default:
		err = cause
	}
	if err.Error() == m.Cause {
		cause = err
	}
	return err, cause
}

const (
	withdrawMessage = 'W' // call, 0
	cancelMessage   = 'C' // call, Err, Cause
	filesMessage    = 'F' // call, number of files
)

// bytes encodes a message but for its files.
func (m Message) bytes() []byte {
	b := make([]byte, 1, 64)
	b = binary.BigEndian.AppendUint64(b, m.Call)
	switch {
	case m.Withdraw:
		b[0] = withdrawMessage
		return append(b, 0)
	case m.Cancel:
		b[0] = cancelMessage
		b = append(b, m.Err)
		end := min(len(m.Cause), maxCause)
		for i := 0; end < len(m.Cause) && i < utf8.UTFMax && !utf8.RuneStart(m.Cause[end]); i++ {
			end-- // not half a letter
		}
		return append(b, m.Cause[:end]...)
	}
	b[0] = filesMessage
	return binary.BigEndian.AppendUint16(b, uint16(len(m.Files)))
}

// parseMessage decodes a message that came with these files.
func parseMessage(b []byte, files []int) (Message, error) {
	if len(b) < 10 {
		CloseAll(files)
		return Message{}, errMessage
	}
	m := Message{Call: binary.BigEndian.Uint64(b[1:])}
	if b[0] == filesMessage && len(b) >= 11 {
		m.Files, m.Count = files, int(binary.BigEndian.Uint16(b[9:]))
		if len(files) != m.Count {
			m.Lost = errNoRoom
		}
		return m, nil
	}
	CloseAll(files) // nobody asked for them
	switch b[0] {
	case withdrawMessage:
		m.Withdraw = true
		return m, nil
	case cancelMessage:
		m.Cancel, m.Err, m.Cause = true, b[9], string(b[10:])
		return m, nil
	}
	return Message{}, errMessage
}

var (
	errMessage = errors.New("message that makes no sense")

	// ErrNone says that there is no message yet.
	ErrNone = errors.New("no message")
)

// maxFiles is how many files the kernel takes in one message (SCM_MAX_FD, unix(7)).
const maxFiles = 253

// Duplicate returns descriptors of the same files, in the same order. So nobody who closes one of the files meanwhile
// can have another one be sent in its place.
func Duplicate(files []*os.File) (descriptors []int, err error) {
	for _, f := range files {
		fd, err := duplicate(f)
		if err != nil {
			CloseAll(descriptors)
			return nil, err
		}
		descriptors = append(descriptors, fd)
	}
	return descriptors, nil
}

// SendFiles sends the descriptors for a call, and closes them. As many files as a process may have open may be on their
// way already (unix(7)), of all processes of its user. Then it tries again, for a while. A patient sender does so as long as
// its receiver has not received what it has sent for other calls or events.
func SendFiles(socket *os.File, call uint64, descriptors []int, patient bool) error {
	defer func() { CloseAll(descriptors) }()
	for len(descriptors) > 0 {
		n := min(len(descriptors), maxFiles)
		err := Send(socket, Message{Call: call, Files: descriptors[:n]}, true)
		begin, pause := time.Now(), time.Millisecond
		for tooMany(err) && (patient && isUnread(socket) || time.Since(begin) < patience) {
			time.Sleep(pause)
			pause = min(2*pause, 50*time.Millisecond)
			err = Send(socket, Message{Call: call, Files: descriptors[:n]}, true)
		}
		if err != nil {
			return err
		}
		CloseAll(descriptors[:n])
		descriptors, patient = descriptors[n:], false // what is unread then is of these files, too
	}
	return nil
}

// patience is how long a sender tries at least.
var patience = 2 * time.Second
