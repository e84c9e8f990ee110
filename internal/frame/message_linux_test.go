package frame

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"example.com/gons/reexec/internal/specs"
)

// sockets returns both ends of a connection, as they are between a function and its caller.
func sockets() (a, b *os.File) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	must(err)
	return os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")
}

// pair is sockets for a spec.
func pair() (a, b *os.File) {
	GinkgoHelper()
	a, b = sockets()
	DeferCleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// nulls returns files, and their duplicates.
func nulls(n int) (files []*os.File, descriptors []int) {
	GinkgoHelper()
	for range n {
		f, err := os.Open(os.DevNull)
		g.Expect(err).NotTo(g.HaveOccurred())
		DeferCleanup(func() { _ = f.Close() })
		files = append(files, f)
	}
	descriptors, err := Duplicate(files)
	g.Expect(err).NotTo(g.HaveOccurred())
	return files, descriptors
}

// sendRaw sends bytes, which may be none, and a file.
func sendRaw(socket *os.File, b []byte) {
	GinkgoHelper()
	conn, err := socket.SyscallConn()
	g.Expect(err).NotTo(g.HaveOccurred())
	g.Expect(conn.Control(func(fd uintptr) {
		// Package unix would add a byte to an empty message.
		rights := unix.UnixRights(int(fd))
		message := unix.Msghdr{Control: &rights[0]}
		message.SetControllen(len(rights))
		if len(b) > 0 {
			iov := unix.Iovec{Base: &b[0]}
			iov.SetLen(len(b))
			message.Iov = &iov
			message.SetIovlen(1)
		}
		if _, _, errno := unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&message)), unix.MSG_NOSIGNAL); errno != 0 {
			err = errno
		}
	})).To(g.Succeed())
	g.Expect(err).NotTo(g.HaveOccurred())
}

// A pause is a context that has ended for a reason of its own.
type pause struct{ context.Context }

func (pause) Err() error { return errors.New("a break") }

var _ = Describe("a message", func() {

	It("arrives even if its sender has ended with others unread", func() { // ECONNRESET once, unix(7)
		a, b := pair()
		g.Expect(Send(a, Withdrawal(1), false)).To(g.Succeed())
		_, descriptors := nulls(2)
		g.Expect(SendFiles(b, 2, descriptors, false)).To(g.Succeed())
		g.Expect(b.Close()).To(g.Succeed())
		m, err := Receive(a)
		g.Expect(err).NotTo(g.HaveOccurred())
		g.Expect(m.Files).To(g.HaveLen(2))
		CloseAll(m.Files)
		_, err = Receive(a)
		g.Expect(err).To(g.MatchError(io.EOF))
	})

	It("cuts a long cause between letters", func() {
		a, b := pair()
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errors.New(strings.Repeat("x", maxCause-1) + "é"))
		g.Expect(Send(a, Cancellation(1, ctx), false)).To(g.Succeed())
		m, err := Receive(b)
		g.Expect(err).NotTo(g.HaveOccurred())
		g.Expect(m.Cause).To(g.Equal(strings.Repeat("x", maxCause-1)))
	})

	It("says that a call is not to begin", func() {
		a, b := pair()
		g.Expect(Send(a, Withdrawal(1<<40), false)).To(g.Succeed())
		g.Expect(Receive(b)).To(g.Equal(Message{Call: 1 << 40, Withdraw: true}))
	})

	DescribeTable("says how a context has ended", func(make func() (context.Context, context.CancelFunc), err, cause error) {
		a, b := pair()
		ctx, cancel := make()
		defer cancel()
		g.Expect(Send(a, Cancellation(42, ctx), false)).To(g.Succeed())
		m, receiveErr := Receive(b)
		g.Expect(receiveErr).NotTo(g.HaveOccurred())
		g.Expect(m.Cancel).To(g.BeTrue())
		g.Expect(m.Call).To(g.Equal(uint64(42)))
		gotErr, gotCause := m.ContextErr()
		g.Expect(gotErr).To(g.Equal(err))
		g.Expect(gotCause).To(g.Equal(cause))
	},
		Entry("cancelled", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx, cancel
		}, context.Canceled, context.Canceled),
		Entry("too late", func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), -1)
		}, context.DeadlineExceeded, context.DeadlineExceeded),
		Entry("cancelled with a cause", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(errors.New("so there"))
			return ctx, func() {}
		}, context.Canceled, errors.New("so there")),
		Entry("too late with a cause", func() (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(context.Background(), -1, errors.New("lunch"))
		}, context.DeadlineExceeded, errors.New("lunch")),
		Entry("with a very long cause", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(errors.New(strings.Repeat("x", maxCause+1)))
			return ctx, func() {}
		}, context.Canceled, errors.New(strings.Repeat("x", maxCause))),
		Entry("with a cause that is no text", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(errors.New("a\xffb\x00"))
			return ctx, func() {}
		}, context.Canceled, errors.New("a\xffb\x00")),
		Entry("otherwise", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(errors.New("a break"))
			return pause{ctx}, func() {}
		}, errors.New("a break"), errors.New("a break")),
	)

	It("may be none yet, or never again", func() {
		a, b := pair()
		_, err := Receive(b)
		g.Expect(err).To(g.Equal(ErrNone))
		g.Expect(b.SetDeadline(time.Now())).To(g.Succeed())
		_, err = Receive(b)
		g.Expect(err).To(g.Equal(ErrNone), "even after a deadline")
		g.Expect(b.SetDeadline(time.Time{})).To(g.Succeed())
		g.Expect(a.Close()).To(g.Succeed())
		_, err = Receive(b)
		g.Expect(err).To(g.Equal(io.EOF))
		g.Expect(Send(b, Message{Cancel: true}, false)).To(g.MatchError(syscall.EPIPE))
		g.Expect(b.Close()).To(g.Succeed())
		_, err = Receive(b)
		g.Expect(err).To(g.MatchError(g.ContainSubstring("closed")))
		g.Expect(Send(b, Message{Cancel: true}, true)).To(g.MatchError(g.ContainSubstring("closed")))
		g.Expect(Listen(b, &sync.Mutex{}, nil)).To(g.MatchError(g.ContainSubstring("closed")))
	})

	DescribeTable("carries files", func(n, messages int) {
		a, b := pair()
		files, descriptors := nulls(n)
		g.Expect(SendFiles(a, 5, descriptors, false)).To(g.Succeed())
		var got []int
		for range messages {
			m, err := Receive(b)
			g.Expect(err).NotTo(g.HaveOccurred())
			g.Expect(m.Lost).NotTo(g.HaveOccurred())
			g.Expect(m.Call).To(g.Equal(uint64(5)))
			got = append(got, m.Files...)
		}
		_, err := Receive(b)
		g.Expect(err).To(g.Equal(ErrNone))
		g.Expect(got).To(g.HaveLen(n))

		f := read(withFiles(n, n))
		for _, fd := range got {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			g.Expect(err).NotTo(g.HaveOccurred())
			g.Expect(flags).To(g.Equal(unix.FD_CLOEXEC))
		}
		f.Receive(got, nil)
		var all []*os.File
		g.Expect(f.Decode(&all)).To(g.Succeed())
		g.Expect(all).To(g.HaveLen(n))
		for i, open := range all {
			here, err := open.Stat()
			g.Expect(err).NotTo(g.HaveOccurred())
			there, err := files[i].Stat()
			g.Expect(err).NotTo(g.HaveOccurred())
			g.Expect(os.SameFile(here, there)).To(g.BeTrue())
		}
		CloseFiles(all)
	},
		Entry("one", 1, 1),
		Entry("as many as fit into one", maxFiles, 1),
		Entry("one more", maxFiles+1, 2),
		Entry("many", 2*maxFiles+10, 3),
	)

	It("carries no file that is closed", func() {
		files, descriptors := nulls(3)
		CloseAll(descriptors)
		g.Expect(files[1].Close()).To(g.Succeed())
		_, err := Duplicate(files)
		g.Expect(err).To(g.MatchError(os.ErrClosed))
		g.Expect(err).To(g.MatchError(g.ContainSubstring("cannot send file /dev/null")))
	})

	It("carries files to nobody, and closes them", func() {
		a, b := pair()
		g.Expect(b.Close()).To(g.Succeed())
		_, descriptors := nulls(300)
		g.Expect(SendFiles(a, 1, descriptors, false)).To(g.MatchError(syscall.EPIPE))
	})

	It("that is given to no frame leaves no files", func() {
		a, b := pair()
		for range 3 {
			_, descriptors := nulls(2)
			g.Expect(SendFiles(a, 1, descriptors, false)).To(g.Succeed())
		}
		for _, value := range []any{new(string), new([]*os.File), new(explosive)} {
			m, err := Receive(b)
			g.Expect(err).NotTo(g.HaveOccurred())
			f := read(withFiles(2, 3))
			f.Receive(m.Files, nil)
			func() {
				defer func() { _ = recover() }()
				g.Expect(f.Decode(value)).NotTo(g.Succeed())
			}()
			g.Expect(f.descriptors).To(g.BeEmpty())
		}
	})

	DescribeTable("that makes no sense leaves no files", func(b []byte, expected error) {
		ours, theirs := pair()
		sendRaw(theirs, b)
		m, err := Receive(ours)
		if expected == nil {
			g.Expect(err).NotTo(g.HaveOccurred())
		} else {
			g.Expect(err).To(g.Equal(expected))
		}
		g.Expect(m.Files).To(g.BeEmpty())
	},
		Entry("of nothing", nil, io.EOF),
		Entry("too short", []byte("F\x00"), errMessage),
		Entry("just too short", []byte("F123456789"), errMessage),
		Entry("of an unknown kind", []byte("?1234567890"), errMessage),
		Entry("with a file that nobody asked for", []byte("C12345678cno"), nil),
	)

	It("is not lost to the end that follows it", func() {
		// Between two steps of the kernel, which is rare; so there are many.
		for begin := time.Now(); time.Since(begin) < 3*time.Second; {
			ours, theirs := sockets()
			go func() {
				_ = Send(theirs, Withdrawal(1), false)
				_ = theirs.Close()
			}()
			_, err := Receive(ours)
			for err == ErrNone {
				_, err = Receive(ours)
			}
			_ = ours.Close()
			g.Expect(err).NotTo(g.HaveOccurred())
		}
	})

	It("tells that files are missing", func() {
		ours, theirs := pair()
		sendRaw(theirs, []byte("F12345678\x00\x02"))
		m, err := Receive(ours)
		g.Expect(err).NotTo(g.HaveOccurred())
		g.Expect(m.Lost).To(g.MatchError(errNoRoom))
		CloseAll(m.Files)
	})

	It("waits for room, until a deadline", func() {
		a, b := pair()
		cancel := Message{Cancel: true, Cause: strings.Repeat("x", maxCause)}
		sent := 0
		for ; Send(a, cancel, false) == nil; sent++ {
		}
		g.Expect(Send(a, cancel, false)).To(g.MatchError(syscall.EAGAIN))
		g.Expect(a.SetDeadline(time.Now().Add(20 * time.Millisecond))).To(g.Succeed())
		g.Expect(Send(a, cancel, true)).To(g.MatchError(os.ErrDeadlineExceeded))
		g.Expect(a.SetDeadline(time.Time{})).To(g.Succeed())
		waiting := make(chan error)
		go func() { waiting <- Send(a, cancel, true) }()
		g.Consistently(waiting, "20ms").ShouldNot(g.Receive())
		for range sent + 1 {
			g.Eventually(func() error { _, err := Receive(b); return err }).Should(g.Succeed())
		}
		g.Eventually(waiting).Should(g.Receive(g.BeNil()))
	})

	It("is listened to under a lock, until nobody speaks any more", func() {
		a, b := pair()
		var lock sync.Mutex
		var got []uint64
		ended := make(chan error)
		go func() {
			ended <- Listen(b, &lock, func(m Message) { got = append(got, m.Call) })
		}()
		for call := range uint64(10) {
			g.Expect(Send(a, Message{Call: call, Cancel: true}, true)).To(g.Succeed())
		}
		g.Eventually(func() int { lock.Lock(); defer lock.Unlock(); return len(got) }).Should(g.Equal(10))
		g.Expect(got).To(g.Equal([]uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}))
		lock.Lock()
		g.Expect(Send(a, Message{Call: 10, Cancel: true}, true)).To(g.Succeed())
		g.Consistently(func() int { return len(got) }, "20ms").Should(g.Equal(10))
		m, err := Receive(b)
		g.Expect(err).NotTo(g.HaveOccurred())
		g.Expect(m.Call).To(g.Equal(uint64(10)))
		lock.Unlock()
		g.Expect(a.Close()).To(g.Succeed())
		g.Eventually(ended).Should(g.Receive(g.MatchError(io.EOF)))
	})

	DescribeTable("in a process that may have few open files", func(role, told string) {
		out, err := specs.Child(role).Output()
		g.Expect(err).NotTo(g.HaveOccurred())
		g.Expect(strings.TrimSpace(string(out))).To(g.HavePrefix(told))
	},
		Entry("some are lost, and the others closed", "few", "lost, and none left"),
		Entry("too many on their way have to wait", "crowd", "<nil>"),
		Entry("too many on their way have to wait, however long that takes", "patient", "<nil>"),
		Entry("too many on their way are an error in the end", "stuck", "sendmsg: too many references: cannot splice"),
		Entry("too many of others are so for a patient sender, too", "crowded out", "sendmsg: too many references: cannot splice"),
	)

})

// An explosive value panics when it is decoded.
type explosive struct{ File *os.File }

func (explosive) MarshalJSON() ([]byte, error) { return nil, nil }
func (*explosive) UnmarshalJSON([]byte) error  { panic("at the decoder") }

func init() {
	specs.Roles["few"] = func([]string) {
		a, b := sockets()
		null, _ := os.Open(os.DevNull)
		for range 3 {
			descriptors, err := Duplicate([]*os.File{null, null, null, null, null, null})
			must(err)
			must(SendFiles(a, 1, descriptors, false))
		}
		before := openFiles()
		limitFiles(before + 3)
		for range 3 {
			m, err := Receive(b)
			must(err)
			if m.Lost == nil || len(m.Files) == 0 {
				fmt.Println("not lost:", m)
			}
			f := Frame{Header: Header{Files: 6}}
			f.Receive(m.Files, m.Lost)
			if err := f.Decode(new(any)); !errors.Is(err, syscall.EMFILE) {
				fmt.Println(err)
			}
		}
		limitFiles(1000)
		if openFiles() == before {
			fmt.Println("lost, and none left")
		}
	}
	crowd := func(receive func(socket *os.File), patient bool) error {
		a, b := sockets()
		runtime.LockOSThread()
		limitFiles(64)
		none := [2]unix.CapUserData{} // who has some is not limited
		must(unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]))
		null, _ := os.Open(os.DevNull)
		go receive(b)
		for range 8 { // so few at a time that both sides together always have numbers left
			var files []*os.File
			for range 15 {
				files = append(files, null)
			}
			descriptors, err := Duplicate(files)
			must(err)
			if err := SendFiles(a, 1, descriptors, patient); err != nil {
				return err
			}
		}
		return nil
	}
	listen := func(socket *os.File) {
		time.Sleep(20 * time.Millisecond)
		must(Listen(socket, &sync.Mutex{}, func(m Message) { CloseAll(m.Files) }))
	}
	deaf := func(*os.File) {}
	specs.Roles["crowd"] = func([]string) { fmt.Println(crowd(listen, false)) }
	specs.Roles["patient"] = func([]string) {
		patience = 0
		fmt.Println(crowd(listen, true))
	}
	specs.Roles["stuck"] = func([]string) {
		patience = 4 * time.Millisecond
		fmt.Println(crowd(deaf, false))
	}
	specs.Roles["crowded out"] = func([]string) {
		patience = 4 * time.Millisecond
		_ = crowd(deaf, false) // by others
		fmt.Println(crowd(deaf, true))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	must(err)
	return len(entries) - 1
}

// limitFiles has descriptors be less than a number.
func limitFiles(n int) {
	must(unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(n), Max: 1000}, nil))
}
