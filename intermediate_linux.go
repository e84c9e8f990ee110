package reexec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// An ordinary user may join a PID namespace only after the user namespace that
// owns it. A process that has joined both cannot run Go, but it can have a child
// that does. So an intermediate copy of the program joins them, starts the child,
// and ends. It makes the child one of its own parent's (CLONE_PARENT, clone(2)),
// who then waits for it, and kills it, like any other.
//
// Parent and intermediate talk over a socket:
//
//	intermediate: message{}      it is in the PID namespace
//	parent:       one byte       go on; from here on it does not kill the intermediate
//	intermediate: message{PID}   the child is started
//	child:        message{}      the same, in case the intermediate could not tell
//
// or, in place of one of the intermediate's messages, message{Failure}. The kernel
// tells the parent who has sent a message.
type message struct {
	PID     int
	Failure string
	Errno   syscall.Errno // the cause of the failure, if it is known
	Join    bool          // the failure is that of a namespace, in the words of package gons
	Self    int           // with PID: the intermediate's own, as it sees it

	sender int // its PID, as the parent sees it: the kernel's word
}

// maxMessage is more than the longest message, in bytes: its paths have PATH_MAX.
const maxMessage = 32 << 10

// thenPrefix marks what is an intermediate's to pass on: gons_then_X becomes the
// child's gons_X.
const thenPrefix = gonsPrefix + "then_"

// startThroughUser starts a child in a PID namespace by way of an intermediate
// that joins all the namespaces up to the user namespace.
//
// References that want to be opened before any namespace is joined are opened
// here and handed down.
func startThroughUser(ctx context.Context, cmd *exec.Cmd, namespaces []Namespace, user, pid int, keep <-chan struct{}) (*exec.Cmd, error) {
	for i, variable := range cmd.Env {
		if strings.HasPrefix(variable, gonsPrefix) {
			cmd.Env[i] = thenPrefix + strings.TrimPrefix(variable, gonsPrefix)
		}
	}
	var opened []*os.File
	defer func() { closeAll(opened) }()
	var numbers []string
	hand := func(f *os.File) (number string) {
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		opened = append(opened, f)
		return strconv.Itoa(2 + len(cmd.ExtraFiles))
	}

	first, rest := namespaces[:user+1], append([]Namespace{}, namespaces[user+1:]...)
	for i, ns := range rest {
		if !ns.early() {
			continue
		}
		f, err := openReference(cmd.Dir, ns)
		if err != nil {
			return nil, err
		}
		number := hand(f)
		numbers = append(numbers, number)
		rest[i].Path = "/proc/self/fd/" + number
	}
	pid -= len(first)
	cmd.Env = append(cmd.Env, joinVars(first)...)
	for _, variable := range append(joinVars(without(rest, pid)), closeVar+"="+strings.Join(numbers, ",")) {
		cmd.Env = append(cmd.Env, thenPrefix+strings.TrimPrefix(variable, gonsPrefix))
	}
	lookup, err := json.Marshal(rest[:pid+1])
	if err != nil {
		return nil, err
	}

	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	cmd.Env = append(cmd.Env, lookupVar+"="+string(lookup), socketVar+"="+hand(theirs))
	if err := startOnThread(cmd, nil, keep); err != nil {
		return nil, err
	}
	closeAll(opened) // so the end of the intermediate is the end of the socket
	opened = nil
	return takeOver(ctx, cmd, ours)
}

// socketPair returns both ends of a connection that keeps messages apart.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	err = unix.SetNonblock(fds[0], true) // lets the Go runtime wait for it
	if err == nil {
		err = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1) // see unix(7)
	}
	if err != nil {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
		return nil, nil, os.NewSyscallError("setsockopt", err)
	}
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}

// takeOver receives the child from the intermediate, which it reaps. An
// intermediate that ends without a word is returned as if it were the child: how
// it ended, and what it wrote, tells what happened.
func takeOver(ctx context.Context, intermediate *exec.Cmd, socket *os.File) (*exec.Cmd, error) {
	stop := onDone(ctx, func() { _ = intermediate.Process.Kill() })
	ready, err := receive(socket)
	if killed := stop(); killed {
		return nil, &killedError{why: context.Cause(ctx), status: intermediate.Wait()}
	}
	if err != nil {
		return intermediate, nil
	}
	if ready.Failure != "" {
		_ = intermediate.Wait() // its status says less than the failure
		return nil, ready.error()
	}
	// The child is on its way now. Its PID must be known before it, or the
	// intermediate, can be killed, or else it would be lost.
	if _, err := socket.Write([]byte{0}); err != nil {
		return intermediate, nil
	}
	started, err := receive(socket)
	if err != nil {
		return intermediate, nil
	}
	if started.PID != 0 && started.Self != started.sender {
		// The intermediate is in another PID namespace itself, as the calling
		// thread wanted its children to be: its numbers are not the parent's.
		if started, err = receive(socket); err != nil {
			return intermediate, nil
		}
	}
	_ = intermediate.Wait()
	if started.Failure != "" {
		return nil, started.error()
	}
	if started.PID == 0 {
		started.PID = started.sender
	}
	process, err := os.FindProcess(started.PID)
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{Path: intermediate.Path, Args: intermediate.Args, Process: process}, nil
}

// receive receives a message; its error is io.EOF if there is nobody any more to
// send one.
func receive(socket *os.File) (m message, err error) {
	conn, err := socket.SyscallConn()
	if err != nil {
		return m, err
	}
	text, control := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	var n, oobn int
	readErr := conn.Read(func(fd uintptr) (done bool) {
		n, oobn, _, _, err = unix.Recvmsg(int(fd), text, control, unix.MSG_CMSG_CLOEXEC)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	switch {
	case readErr != nil:
		return m, readErr
	case err != nil:
		return m, os.NewSyscallError("recvmsg", err)
	case n == 0:
		return m, io.EOF
	}
	if err := json.Unmarshal(text[:n], &m); err != nil {
		return m, err
	}
	controls, err := unix.ParseSocketControlMessage(control[:oobn])
	if err != nil || len(controls) != 1 {
		return m, fmt.Errorf("message without credentials: %w", err)
	}
	sender, err := unix.ParseUnixCredentials(&controls[0])
	if err != nil {
		return m, err
	}
	m.sender = int(sender.Pid)
	return m, nil
}

// newFailure tells an error to the parent.
func newFailure(err error) message {
	m := message{Failure: err.Error()}
	errors.As(err, &m.Errno)
	var join *joinError
	m.Join = errors.As(err, &join) || switchStatus() != nil
	return m
}

// error returns the failure as an error.
func (m message) error() error {
	err := errors.New(m.Failure)
	if m.Errno != 0 {
		err = fmt.Errorf("%s%w", strings.TrimSuffix(m.Failure, m.Errno.Error()), m.Errno)
	}
	if m.Join {
		err = &joinError{err}
	}
	return err
}

// obeyAsIntermediate does the work of an intermediate, if this process is one,
// and then ends it. It runs while the program is initialised, so before anything
// of the user's that depends on this package does.
func obeyAsIntermediate() {
	socket, err := strconv.Atoi(os.Getenv(socketVar))
	if err != nil {
		return
	}
	unix.CloseOnExec(socket)
	if err := beIntermediate(socket); err != nil {
		if send(socket, newFailure(err)) != nil {
			os.Exit(1)
		}
	}
	os.Exit(0)
}

// beIntermediate joins the PID namespace and starts the child in it.
func beIntermediate(socket int) error {
	if err := switchStatus(); err != nil {
		return err
	}
	var lookup []Namespace
	if err := json.Unmarshal([]byte(os.Getenv(lookupVar)), &lookup); err != nil {
		return err
	}
	pid, err := openPID("", lookup)
	if err != nil {
		return err
	}
	// Once this thread has joined, the kernel lets it start processes only; the
	// lock has the Go runtime start new threads from another one.
	runtime.LockOSThread()
	if err := moveChildrenTo(pid); err != nil {
		return err
	}
	if err := send(socket, message{}); err != nil {
		return err
	}
	if n, _ := unix.Read(socket, make([]byte, 1)); n != 1 {
		return errors.New("parent has gone")
	}
	child, err := startSibling(socket)
	if errors.Is(err, unix.ENOMEM) {
		err = deadPIDError(pid.Name(), err)
	}
	if err != nil {
		return err
	}
	return send(socket, message{PID: child, Self: os.Getpid()})
}

// startSibling starts the child with all the descriptors up to the socket, under
// the same numbers.
func startSibling(socket int) (pid int, err error) {
	var env []string
	for _, variable := range os.Environ() {
		if then, ok := strings.CutPrefix(variable, thenPrefix); ok {
			env = append(env, gonsPrefix+then)
		} else if !strings.HasPrefix(variable, gonsPrefix) {
			env = append(env, variable)
		}
	}
	env = append(env, hereVar+"="+strconv.Itoa(socket))
	files := make([]uintptr, socket+1)
	files[socket] = uintptr(socket)
	for fd := range socket {
		files[fd] = uintptr(fd)
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			files[fd] = ^uintptr(0) // a gap in the caller's ExtraFiles
		}
	}
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT}
	if os.Geteuid() != 0 {
		// Only root keeps its capabilities when it executes a program, unless
		// they are ambient (capabilities(7)). The child needs those that the
		// user namespace gave for the other namespaces.
		attr.AmbientCaps, err = capabilities()
		if err != nil {
			return 0, err
		}
	}
	path, _ := executable()
	return syscall.ForkExec(path, os.Args, &syscall.ProcAttr{Env: env, Files: files, Sys: attr})
}

// capabilities returns the numbers of all the capabilities that this process has.
func capabilities() (numbers []uintptr, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return nil, os.NewSyscallError("capget", err)
	}
	for i := range 64 {
		if data[i/32].Permitted&(1<<(i%32)) != 0 {
			numbers = append(numbers, uintptr(i))
		}
	}
	return numbers, nil
}

// send sends a message to the parent.
func send(socket int, m message) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return os.NewSyscallError("sendto", unix.Sendto(socket, text, unix.MSG_NOSIGNAL, nil))
}

// sayHere tells the parent that this child is there, which it usually knows
// already and does not listen any more.
func sayHere() {
	if socket, err := strconv.Atoi(os.Getenv(hereVar)); err == nil {
		_ = send(socket, message{})
		_ = unix.Close(socket)
	}
}
