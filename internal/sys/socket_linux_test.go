package sys

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// sockets returns both ends of a connection, closed at the end of the spec. Both are polled.
func sockets() (a, b *os.File) {
	GinkgoHelper()
	a, theirs := specs.OK2(SocketPair())
	b = OwnFile(specs.OK(Descriptor(theirs)), "b")
	CloseAll(theirs)
	DeferCleanup(func() { CloseAll(a, b) })
	return a, b
}

// send sends a message with some files.
func send(socket *os.File, message []byte, count int) {
	GinkgoHelper()
	null := specs.OK(os.Open(os.DevNull))
	defer null.Close()
	var files []int
	for range count {
		files = append(files, specs.OK(Descriptor(null)))
	}
	g.Expect(Send(socket, message, files, false)).To(g.Succeed())
	CloseDescriptors(files)
}

// sendNothing sends an empty message with a file. Package unix would add a byte to it.
func sendNothing(socket *os.File) {
	GinkgoHelper()
	rights := unix.UnixRights(number(socket))
	message := unix.Msghdr{Control: &rights[0]}
	message.SetControllen(len(rights))
	_, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(number(socket)), uintptr(unsafe.Pointer(&message)), unix.MSG_NOSIGNAL)
	g.Expect(errno).To(g.BeZero())
}

var _ = Describe("a message", func() {
	buffer := make([]byte, MaxMessage)

	receiveError := func(socket *os.File) error {
		_, _, _, err := Receive(socket, buffer)
		return err
	}

	// receive expects a message with some files, which other programs do not inherit.
	receive := func(socket *os.File, size, count int) string {
		GinkgoHelper()
		n, files, _, err := Receive(socket, buffer)
		g.Expect(err).NotTo(g.HaveOccurred())
		g.Expect(n).To(g.Equal(size))
		g.Expect(files).To(g.HaveLen(count))
		for _, fd := range files {
			closeOnExec, _ := flags(fd)
			g.Expect(closeOnExec).To(g.BeTrue())
		}
		CloseDescriptors(files)
		return string(buffer[:n])
	}

	DescribeTable("arrives as it was sent, with its files", func(size, count int) {
		a, b := sockets()
		send(a, make([]byte, size), count)
		g.Expect(Send(a, []byte("next"), nil, true)).To(g.Succeed())
		g.Expect(IsUnread(a)).To(g.BeTrue())
		receive(b, size, count)
		g.Expect(receive(b, 4, 0)).To(g.Equal("next"))
		g.Expect(IsUnread(a)).To(g.BeFalse())
	},
		Entry("a short one", 1, 0),
		Entry("the longest", MaxMessage, 0),
		Entry("with a file", 1, 1),
		Entry("with as many as fit", MaxMessage, MaxFiles),
	)

	It("may be none yet, or never again", func() {
		a, b := sockets()
		g.Expect(receiveError(b)).To(g.MatchError(syscall.EAGAIN))
		g.Expect(b.SetDeadline(time.Now())).To(g.Succeed())
		g.Expect(receiveError(b)).To(g.MatchError(syscall.EAGAIN), "even after a deadline")
		g.Expect(b.SetDeadline(time.Time{})).To(g.Succeed())
		g.Expect(a.Close()).To(g.Succeed())
		g.Expect(receiveError(b)).To(g.Equal(io.EOF))
		g.Expect(Send(b, []byte("x"), nil, false)).To(g.MatchError(syscall.EPIPE))
		g.Expect(b.Close()).To(g.Succeed())
		for _, err := range []error{receiveError(b), Send(b, []byte("x"), nil, true), Listen(b, nil)} {
			g.Expect(err).To(g.MatchError(g.ContainSubstring("closed")))
		}
	})

	It("arrives even if its sender has ended with others unread", func() { // ECONNRESET once, unix(7)
		a, b := sockets()
		send(a, []byte("unread"), 0)
		send(b, []byte("x"), 2)
		g.Expect(b.Close()).To(g.Succeed())
		receive(a, 1, 2)
		g.Expect(receiveError(a)).To(g.Equal(io.EOF))
	})

	It("without a byte has no meaning, and leaves no files", func() {
		a, b := sockets()
		sendNothing(a)
		g.Expect(Receive(b, buffer)).Error().To(g.Equal(io.EOF))
	})

	It("is not lost to the end that follows it", specs.Long, func() { // between two steps of the kernel, which is rare; so there are many
		senders := make(chan int)
		var all sync.WaitGroup
		all.Go(func() {
			for fd := range senders {
				_, _ = unix.Write(fd, []byte("x"))
				_ = unix.Close(fd)
			}
		})
		defer all.Wait()
		defer close(senders)
		for range 20_000 {
			fds, _ := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			senders <- fds[1]
			err := error(syscall.EAGAIN)
			for errors.Is(err, syscall.EAGAIN) {
				_, _, _, err = receiveNow(fds[0], buffer)
			}
			_ = unix.Close(fds[0])
			if err != nil {
				Fail(err.Error())
			}
		}
	})

	It("waits for room, until a deadline", func() {
		a, b := sockets()
		message, sent := make([]byte, MaxMessage), 0
		for ; Send(a, message, nil, false) == nil; sent++ {
		}
		g.Expect(Send(a, message, nil, false)).To(g.MatchError(syscall.EAGAIN))
		g.Expect(a.SetDeadline(time.Now().Add(20 * time.Millisecond))).To(g.Succeed())
		g.Expect(Send(a, message, nil, true)).To(g.MatchError(os.ErrDeadlineExceeded))
		g.Expect(a.SetDeadline(time.Time{})).To(g.Succeed())
		waiting := make(chan error)
		go func() { waiting <- Send(a, message, nil, true) }()
		g.Consistently(waiting, "20ms").ShouldNot(g.Receive())
		for range sent + 1 {
			g.Eventually(receiveError).WithArguments(b).Should(g.Succeed())
		}
		g.Eventually(waiting).Should(g.Receive(g.BeNil()))
	})

	It("is listened for until the end", func() {
		a, b := sockets()
		got, ended := make(chan string, 10), make(chan error, 1)
		go func() {
			ended <- Listen(b, func() error {
				for {
					buffer := make([]byte, 10)
					n, _, _, err := Receive(b, buffer)
					if err != nil {
						return err
					}
					got <- string(buffer[:n])
				}
			})
		}()
		for _, text := range []string{"1", "2", "3"} {
			send(a, []byte(text), 0)
			g.Eventually(got).Should(g.Receive(g.Equal(text)))
		}
		g.Consistently(ended, "10ms").ShouldNot(g.Receive())
		g.Expect(a.Close()).To(g.Succeed())
		g.Eventually(ended).Should(g.Receive(g.Equal(io.EOF)))
	})
})
