package birth

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/sys"
	"golang.org/x/sys/unix"
)

// Parent and child talk over a socket, in one direction:
//
//	child:   cloned PID SELF     its clone takes over; SELF is its own PID in its own view
//	child:   joined              it, or the clone, is in all the namespaces
//	child:   failed ERRNO TEXT   it is not, and ends
//
// The kernel tells the parent who has sent a report (SO_PASSCRED, unix(7)).

// lastWords is how long a clone may take to report after the first process was killed. Usually the
// socket ends much sooner, but another process may have inherited it.
const lastWords = time.Second

// await reads the child's reports, and returns the process that goes on. It kills a child that has not joined by the
// socket's deadline. One that has may be running its function, so await leaves it alone.
func await(socket *os.File, first *exec.Cmd, refs []Ref) (child *exec.Cmd, err error) {
	clone, killed := 0, false
	defer func() {
		if killed {
			err = ErrKilled // even if it reports all the same
		}
	}()
	for {
		text, sender, err := receive(socket)
		if errors.Is(err, os.ErrDeadlineExceeded) && !killed {
			killed = true
			_ = first.Process.Kill()
			_ = socket.SetReadDeadline(time.Now().Add(lastWords))
			continue
		}
		if err != nil {
			// A clone may have died before its report: the first process of its PID namespace, which has
			// ended, waits for all others in there to be reaped.
			if err == io.EOF {
				err = ErrNoReport
			} else {
				err = fmt.Errorf("%w: %w", ErrNoReport, err)
			}
			if clone != 0 {
				return adopt(first, clone, err)
			}
			return first, err
		}
		word, rest, _ := strings.Cut(text, " ")
		switch {
		case word == "joined" && sender == first.Process.Pid:
			return first, nil
		case word == "joined" && isChild(sender) != errNoChild:
			return adopt(first, sender, nil)
		case sender != first.Process.Pid:
			// All other reports are the first process' own.
		case word == "cloned":
			// Its numbers are not the parent's if the first process is in another PID namespace itself, where
			// the calling thread's children are.
			if pid, self, _ := strings.Cut(rest, " "); self == strconv.Itoa(sender) {
				clone, _ = strconv.Atoi(pid)
			}
		case word == "failed":
			return first, newJoinError(rest, refs)
		}
	}
}

// receive receives a report, and its sender's PID. It returns [io.EOF] if no process can send any more.
func receive(socket *os.File) (text string, sender int, err error) {
	buffer := make([]byte, 4*unix.PathMax) // a report has two paths at the most
	var n int
	now := func() error {
		var files []int
		n, files, sender, err = sys.Receive(socket, buffer)
		sys.CloseDescriptors(files)
		return err
	}
	listenErr := sys.Listen(socket, now)
	if errors.Is(listenErr, os.ErrDeadlineExceeded) && !errors.Is(now(), sys.EAGAIN) {
		listenErr = err // what has come before the deadline counts
	}
	return string(buffer[:n]), sender, listenErr
}

// newJoinError makes an error of a report of failure.
func newJoinError(report string, refs []Ref) *JoinError {
	number, text, _ := strings.Cut(report, " ")
	errno, _ := strconv.Atoi(number)
	e := &JoinError{Err: syscall.Errno(errno), Text: text}
	_, named, _ := strings.Cut(text, " gons_")
	e.Kind, _, _ = strings.Cut(named, " ")
	first, user := untilUser(refs)
	var foreign, inUser bool
	for i, ref := range refs {
		sent := strconv.Quote(ref.sent)
		if ref.sent == "" && ref.Kind() == e.Kind || ref.sent != "" && strings.Contains(text, sent) {
			if e.Path = ref.Path; ref.File != nil {
				e.Path = ref.File.Name()
			}
			e.Text = strings.ReplaceAll(text, sent, strconv.Quote(e.Path))
			inUser = i > len(first)
			foreign = inUser && e.Kind != "user" && user != 0 && ref.File != nil && !belongs(ref.fd(), user)
		}
	}
	switch {
	case e.Kind == "" || strings.HasSuffix(text, ")"): // the child knows better
	case e.Err == syscall.EPERM && setnsDenied():
		e.Text += " (a seccomp filter of this process denies setns(2))"
	case e.Err == syscall.EPERM && e.Kind == "mnt" && !inUser && !may(unix.CAP_SYS_CHROOT):
		e.Text += " (this takes CAP_SYS_ADMIN in the user namespace that owns it, and CAP_SYS_CHROOT, too: be root, or join that user namespace first)"
	case e.Err == syscall.EPERM && foreign:
		e.Text += fmt.Sprintf(" (the user namespace that is joined before does not own it: name %s before user, "+
			"which takes CAP_SYS_ADMIN in the user namespace that owns it)", e.Kind)
	default:
		e.Text += Hint(e.Err, e.Kind, e.Path)
	}
	return e
}

// setnsDenied tells whether it is a filter that denies joining: the kernel itself would see first
// that there is no such file.
func setnsDenied() bool { return unix.Setns(-1, 0) == unix.EPERM }
