package call

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"example.com/gons/reexec/internal/sys"
)

// tell sends a message on the socket; if the socket is full, in another goroutine. Its error does not matter: the child has
// ended, or will be killed.
func tell(socket *os.File, h header, pointer any) {
	o, _ := encode(h, pointer) // texts can travel
	message := slices.Concat(o.parts...)
	o.free()
	if errors.Is(sys.Send(socket, message, nil, false), sys.EAGAIN) {
		go func() { _ = sys.Send(socket, message, nil, true) }()
	}
}

// cancellation returns the message of a context's end. What does not fit into a message is cut off.
func cancellation(ctx context.Context) (extra int64, cause *string) {
	if ctx.Err() == context.DeadlineExceeded {
		extra = 1
	}
	text := context.Cause(ctx).Error()
	text = text[:min(len(text), sys.MaxMessage-headerSize-binary.MaxVarintLen64)]
	return extra, &text
}

// messages are buffers for what is received.
var messages = sync.Pool{New: func() any { return new([sys.MaxMessage]byte) }}

// receive receives a message, if there is one: or else EAGAIN, or [io.EOF] at the end.
func receive(socket *os.File) (f Frame, err error) {
	buffer := messages.Get().(*[sys.MaxMessage]byte)
	defer messages.Put(buffer)
	n, open, _, err := sys.Receive(socket, buffer[:])
	if err != nil {
		return f, err
	}
	if n >= headerSize {
		f = Frame{header: parseHeader(buffer[:]), value: append([]byte(nil), buffer[headerSize:n]...)}
	}
	if f.Kind != files {
		sys.CloseDescriptors(open)
		return f, nil
	}
	if f.open = open; len(open) != int(f.files) {
		f.lost = sys.EMFILE // this process had no room for them
	}
	return f, nil
}

// take adds open files that have come in a message to a frame.
func (f *Frame) take(message *Frame) {
	f.open = append(f.open, message.open...)
	if message.lost != nil {
		f.lost = message.lost
	}
}

// errMissing is why files of a frame have not arrived.
var errMissing = errors.New("child has not sent them")

// receiveFiles receives the open files of an answer, which the child has sent before it. It closes those of other answers,
// which the child could not send.
func (f *Frame) receiveFiles(socket *os.File) {
	for received, messages := 0, 0; received < int(f.files) && messages < maxMessages; messages++ {
		m, err := receive(socket)
		if err != nil {
			if !errors.Is(err, sys.EAGAIN) && err != io.EOF { // which of these depends on how fast the child ends
				f.lost = err
			}
			break
		}
		if m.Kind == files && m.call == f.call {
			f.take(&m)
			received += int(m.files)
		} else {
			m.Close()
		}
	}
	f.missing()
}

// missing notes that open files of a frame have not arrived, and why.
func (f *Frame) missing() {
	if f.lost == nil && len(f.open) < int(f.files) {
		f.lost = errMissing
	}
	if f.lost != nil {
		f.lost = fmt.Errorf("open files could not be received: %w", f.lost)
	}
}

// maxMessages is how many messages are received for one answer: a hostile child may send them without end.
const maxMessages = 1 << 14

// duplicates returns descriptors of the same files, in the same order. So if one of the files is closed meanwhile, no other
// file is sent in its place. An error is an *UnsentError.
func duplicates(files []*os.File) (descriptors []int, err error) {
	for _, f := range files {
		fd, err := sys.Descriptor(f)
		if err != nil {
			sys.CloseDescriptors(descriptors)
			return nil, &UnsentError{fmt.Errorf("cannot send file %s: %w", f.Name(), err)}
		}
		descriptors = append(descriptors, fd)
	}
	return descriptors, nil
}

// sendFiles sends the descriptors for a call, and closes them. The files on their way of all processes of a user are limited
// (unix(7), ETOOMANYREFS). At the limit it tries again for a while; a patient sender, as long as the other end has not received
// what was sent for other calls or events.
func sendFiles(socket *os.File, call uint64, descriptors []int, patient bool) error {
	defer func() { sys.CloseDescriptors(descriptors) }()
	for len(descriptors) > 0 {
		now := descriptors[:min(len(descriptors), sys.MaxFiles)]
		o, _ := encode(header{Kind: files, call: call, files: uint32(len(now))}, nil)
		var err error
		begin, pause := time.Now(), time.Millisecond
		for {
			unread := patient && sys.IsUnread(socket) // before, since all may be received meanwhile, and then there is room
			err = sys.Send(socket, o.parts[0], now, true)
			if !sys.IsCrowded(err) || !unread && time.Since(begin) >= patience {
				break
			}
			time.Sleep(pause)
			pause = min(2*pause, 50*time.Millisecond)
		}
		o.free()
		if err != nil {
			return err
		}
		sys.CloseDescriptors(now)
		descriptors, patient = descriptors[len(now):], false // what is unread then is of these files, too
	}
	return nil
}

// patience is how long a sender tries at least.
var patience = 2 * time.Second
