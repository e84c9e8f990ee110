//go:build unix && !aix

package frame

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// CloseAll closes descriptors.
func CloseAll(descriptors []int) {
	for _, fd := range descriptors {
		_ = unix.Close(fd)
	}
}

// duplicate returns another descriptor of a file.
func duplicate(f *os.File) (fd int, err error) {
	conn, err := f.SyscallConn()
	if err == nil {
		controlErr := conn.Control(func(number uintptr) {
			fd, err = unix.FcntlInt(number, unix.F_DUPFD_CLOEXEC, 0)
		})
		if controlErr != nil { // there is but one reason, which package os does not always name
			err = os.ErrClosed
		}
	}
	if err != nil {
		return 0, fmt.Errorf("cannot send file %s: %w", f.Name(), err)
	}
	return fd, nil
}

// Send sends a message. While the socket is full it waits, until its deadline, or else fails.
func Send(socket *os.File, m Message, wait bool) error {
	var rights []byte
	if len(m.Files) > 0 {
		rights = unix.UnixRights(m.Files...)
	}
	conn, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	send := func(fd uintptr) (done bool) {
		for {
			if err = unix.Sendmsg(int(fd), m.bytes(), rights, nil, noSignal); err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	}
	if !wait { // not even for others who wait
		if controlErr := conn.Control(func(fd uintptr) { send(fd) }); controlErr != nil {
			return controlErr
		}
		return os.NewSyscallError("sendmsg", err)
	}
	if writeErr := conn.Write(send); writeErr != nil {
		return writeErr
	}
	return os.NewSyscallError("sendmsg", err)
}

// tooMany tells whether as many files are on their way already as may be.
func tooMany(err error) bool { return errors.Is(err, unix.ETOOMANYREFS) }

// Receive receives a message that has been sent already, or else returns [ErrNone]. [io.EOF] says
// that the other end is closed.
func Receive(socket *os.File) (m Message, err error) {
	conn, err := socket.SyscallConn()
	if err != nil {
		return m, err
	}
	controlErr := conn.Control(func(fd uintptr) { m, err = receive(int(fd)) }) // whatever the deadline
	if controlErr != nil {
		return m, controlErr
	}
	return m, err
}

// Listen receives messages until the other end is closed. Each is received and handled under the lock, so
// that who holds it may receive messages, too.
func Listen(socket *os.File, lock sync.Locker, handle func(Message)) error {
	conn, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	readErr := conn.Read(func(fd uintptr) (done bool) {
		lock.Lock()
		defer lock.Unlock()
		for {
			var m Message
			switch m, err = receive(int(fd)); err {
			case nil:
				handle(m)
			case ErrNone:
				return false
			default:
				return true
			}
		}
	})
	return errors.Join(readErr, err)
}

// buffers are for what is received, which is rarely as much.
var buffers = sync.Pool{New: func() any { return new([16 + maxCause]byte) }}

// receive receives a message, if there is one.
func receive(fd int) (Message, error) {
	memory := buffers.Get().(*[16 + maxCause]byte)
	defer buffers.Put(memory)
	buffer, rights := memory[:], make([]byte, unix.CmsgSpace(4*maxFiles))
	for reset, ended := false, false; ; {
		n, rightsLen, _, _, err := unix.Recvmsg(fd, buffer, rights, closeOnExec|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ECONNRESET && !reset: // the other end has left something unread; what it had sent is still there
			reset = true
			continue
		case err == unix.EAGAIN && !ended:
			return Message{}, ErrNone
		case err == unix.EAGAIN: // it was an empty message
			return Message{}, io.EOF
		case err != nil:
			return Message{}, os.NewSyscallError("recvmsg", err)
		}
		files := descriptors(rights[:rightsLen])
		if n == 0 { // the end, or an empty message
			CloseAll(files)
			if !ended { // the kernel looks for messages, and then for the end: both may come in between
				ended = true
				continue
			}
			return Message{}, io.EOF
		}
		if closeOnExec == 0 {
			for _, fd := range files {
				syscall.CloseOnExec(fd)
			}
		}
		return parseMessage(buffer[:n], files)
	}
}

// descriptors returns the files in control data.
func descriptors(control []byte) (files []int) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil // nothing at all has been received
	}
	for i := range messages {
		if more, err := unix.ParseUnixRights(&messages[i]); err == nil {
			files = append(files, more...)
		}
	}
	return files
}
