//go:build unix

package frame

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

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
	for pause := time.Millisecond; ; pause *= 2 {
		writeErr := conn.Write(func(fd uintptr) (done bool) {
			for {
				if err = unix.Sendmsg(int(fd), m.bytes(), rights, nil, noSignal); err != unix.EINTR {
					return err != unix.EAGAIN || !wait
				}
			}
		})
		switch {
		case writeErr != nil:
			return writeErr
		case !errors.Is(err, unix.ETOOMANYREFS) || pause > maxPause:
			return os.NewSyscallError("sendmsg", err)
		}
		// As many files as a process may have open are on their way already (unix(7)).
		time.Sleep(pause)
	}
}

// maxPause is the longest time between two tries to send.
const maxPause = time.Second

// Receive receives a message. Unless it shall wait, it is [ErrNone] if there is none
// yet. [io.EOF] says that the other end is closed.
func Receive(socket *os.File, wait bool) (Message, error) {
	conn, err := socket.SyscallConn()
	if err != nil {
		return Message{}, err
	}
	buffer, rights := make([]byte, 16+maxCause), make([]byte, unix.CmsgSpace(4*maxFiles))
	var n, rightsLen int
	receive := func(fd uintptr) (done bool) {
		for {
			n, rightsLen, _, _, err = unix.Recvmsg(int(fd), buffer, rights, closeOnExec|unix.MSG_DONTWAIT)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	}
	var readErr error
	if wait {
		readErr = conn.Read(receive)
	} else { // whatever the deadline
		readErr = conn.Control(func(fd uintptr) { receive(fd) })
	}
	switch {
	case readErr != nil:
		return Message{}, readErr
	case err == unix.EAGAIN:
		return Message{}, ErrNone
	case err != nil:
		return Message{}, os.NewSyscallError("recvmsg", err)
	case n == 0:
		return Message{}, io.EOF
	}
	files := descriptors(rights[:rightsLen])
	if closeOnExec == 0 {
		for _, fd := range files {
			syscall.CloseOnExec(fd)
		}
	}
	return parseMessage(buffer[:n], files)
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
