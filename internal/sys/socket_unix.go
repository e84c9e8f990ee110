//go:build unix && !aix

package sys

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// MaxFiles is how many open files fit into one message (SCM_MAX_FD, unix(7)).
const MaxFiles = 253

// SocketPair returns both ends of a connection that keeps messages apart and carries open files. The runtime polls ours.
func SocketPair() (ours, theirs *os.File, err error) {
	kind := unix.SOCK_SEQPACKET
	if runtime.GOOS == "darwin" {
		kind = unix.SOCK_DGRAM // there are no others; its end is an error
	}
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	err = os.NewSyscallError("fcntl", unix.SetNonblock(fds[0], true))
	ours, theirs = os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket")
	if err == nil {
		err = mustBePolled(ours)
	}
	if err != nil {
		CloseAll(ours, theirs)
		return nil, nil, err
	}
	return ours, theirs, nil
}

// Send sends a message with open files. If the socket's buffer is full it waits, until the socket's deadline, or returns
// EAGAIN.
func Send(socket *os.File, b []byte, files []int, wait bool) (err error) {
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	return onSocket(socket, wait, syscall.RawConn.Write, func(fd int) error {
		_, err := uninterrupted(func() (int, error) { return unix.SendmsgN(fd, b, rights, nil, noSignal|unix.MSG_DONTWAIT) })
		return os.NewSyscallError("sendmsg", err)
	})
}

// Receive receives a message, and open files, which are close-on-exec. After [NameSenders] it also returns the sender's
// PID, or 0 if this process cannot see the sender. It returns EAGAIN if there is no message yet, and [io.EOF] at the end of the
// connection.
func Receive(socket *os.File, b []byte) (n int, files []int, sender int, err error) {
	err = onSocket(socket, false, nil, func(fd int) error {
		n, files, sender, err = receiveNow(fd, b)
		return err
	})
	return n, files, sender, err
}

// Listen calls receive when there is something to be received, until that returns an error other than EAGAIN, which
// is returned.
func Listen(socket *os.File, receive func() error) error {
	return onSocket(socket, true, syscall.RawConn.Read, func(int) error { return receive() })
}

// onSocket calls f with the descriptor of a socket. Where f returns EAGAIN it waits, if it is to wait, and calls f again.
func onSocket(socket *os.File, wait bool, whenReady func(syscall.RawConn, func(fd uintptr) bool) error, f func(fd int) error) (err error) {
	conn, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	call := func(fd uintptr) (done bool) {
		err = f(int(fd))
		return !errors.Is(err, unix.EAGAIN)
	}
	var connErr error
	if wait {
		connErr = whenReady(conn, call)
	} else {
		connErr = conn.Control(func(fd uintptr) { call(fd) }) // Write and Read wait for other goroutines that are in them
	}
	if connErr != nil {
		return connErr
	}
	return err
}

// receiveNow receives a message, if there is one.
func receiveNow(fd int, b []byte) (n int, files []int, sender int, err error) {
	control := make([]byte, unix.CmsgSpace(4*MaxFiles)+unix.CmsgSpace(12)) // open files, and the sender (struct ucred)
	for reset, ended := false, false; ; {
		n, controlLen, _, _, err := unix.Recvmsg(fd, b, control, closeOnExec|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ECONNRESET && !reset: // the other end has left something unread; what it had sent is still there
			reset = true
			continue
		case err == unix.EAGAIN && ended: // it was an empty message
			return 0, nil, 0, io.EOF
		case err != nil:
			return 0, nil, 0, os.NewSyscallError("recvmsg", err)
		}
		files, sender := parse(control[:controlLen])
		if n > 0 {
			return n, files, sender, nil
		}
		CloseDescriptors(files) // the end, or an empty message, which has no meaning
		if ended {
			return 0, nil, 0, io.EOF
		}
		ended = true // the kernel looks for messages, and then for the end: both may come in between
	}
}

// parse returns the open files, and the sender, in control data.
func parse(control []byte) (files []int, sender int) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, 0 // nothing at all has been received
	}
	for i := range messages {
		if more, err := unix.ParseUnixRights(&messages[i]); err == nil {
			files = append(files, more...)
		}
		sender = max(sender, senderIn(&messages[i]))
	}
	if closeOnExec == 0 {
		for _, fd := range files {
			syscall.CloseOnExec(fd)
		}
	}
	return files, sender
}

// CloseDescriptors closes descriptors that belong to no [os.File].
func CloseDescriptors(files []int) {
	for _, fd := range files {
		_ = unix.Close(fd)
	}
}

// IsCrowded tells whether a message was not sent since its user has as many open files on their way as the kernel
// allows (unix(7): ETOOMANYREFS).
func IsCrowded(err error) bool { return errors.Is(err, unix.ETOOMANYREFS) }
