package sys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// pipe returns both ends of a pipe, closed at the end of the spec.
func pipe() (r, w *os.File) {
	GinkgoHelper()
	r, w = specs.OK2(Pipe())
	DeferCleanup(func() { CloseAll(r, w) })
	return r, w
}

// number is the descriptor of a file, which stays as it is.
func number(f *os.File) (fd int) {
	GinkgoHelper()
	g.Expect(control(f, func(number int) { fd = number })).To(g.Succeed())
	return fd
}

// flags are those of a descriptor and of its open file.
func flags(fd int) (closeOnExec, nonblocking bool) {
	GinkgoHelper()
	flag := func(cmd, flag int) bool { return specs.OK(unix.FcntlInt(uintptr(fd), cmd, 0))&flag != 0 }
	return flag(unix.F_GETFD, unix.FD_CLOEXEC), flag(unix.F_GETFL, unix.O_NONBLOCK)
}

var _ = Describe("a pipe", func() {
	It("that nothing can poll is an error", func() {
		file := specs.OK(os.Open("/proc/self/exe"))
		defer file.Close()
		g.Expect(mustBePolled(file)).To(g.MatchError(g.ContainSubstring("cannot poll a pipe")))
	})

	It("that is closed can neither be read nor written, nor told anything about", func() {
		r, w := pipe()
		CloseAll(r, w, nil)
		for _, f := range []*os.File{r, w} {
			_, err := Descriptor(f)
			g.Expect(err).To(g.Equal(os.ErrClosed))
			g.Expect(IsStandard(f)).To(g.BeFalse())
			g.Expect(Unread(f)).To(g.BeZero())
			GrowPipe(f, MaxPipe)
			g.Expect(WriteAll(f, []byte("x"))).To(g.MatchError(g.ContainSubstring("closed")))
		}
	})

	It("never waits to be read or written now", func() {
		r, w := pipe()
		b := make([]byte, 10)
		g.Expect(ReadNow(number(r), b)).Error().To(g.Equal(syscall.EAGAIN))
		g.Expect(WriteNow(number(w), [][]byte{[]byte("a"), nil, []byte("bc")})).To(g.Equal(3))
		g.Expect([]int{Unread(r), Unread(w)}).To(g.HaveEach(3))
		g.Expect(ReadNow(number(r), b)).To(g.Equal(3))
		g.Expect(string(b[:3])).To(g.Equal("abc"))
		err := error(nil)
		for err == nil {
			_, err = WriteNow(number(w), [][]byte{make([]byte, 4096)})
		}
		g.Expect(err).To(g.Equal(syscall.EAGAIN))
		g.Expect(w.Close()).To(g.Succeed())
		_, _ = io.Copy(io.Discard, r)
		g.Expect(ReadNow(number(r), b)).To(g.BeZero())
	})

	It("grows, but not beyond what an ordinary process may have", func() {
		_, w := pipe()
		for size, expected := range map[int]int{1: usualPipe, 100 << 10: 128 << 10, math.MaxInt: MaxPipe} {
			GrowPipe(w, size)
			g.Expect(unix.FcntlInt(uintptr(number(w)), unix.F_GETPIPE_SZ, 0)).To(g.And(g.BeNumerically(">=", expected), g.BeNumerically("<=", MaxPipe)))
		}
	})

	DescribeTable("in a process that lacks something", func(role string) { specs.Try(role) },
		Entry("does not take the place of stdout", "no stdout"),
		Entry("does the service of stdin once that is taken", "stdin is taken"),
		Entry("does so where few descriptors are allowed, too", "stdin is taken, few descriptors"),
	)
})

var _ = Describe("a file", func() {
	It("has duplicates, for oneself only, out of the way of code that closes the first ones", func() {
		_, w := pipe()
		duplicate := specs.OK(Duplicate(w))
		g.Expect(duplicate.Name()).To(g.Equal(w.Name()))
		g.Expect(number(duplicate)).To(g.BeNumerically(">", 2))
		own, _ := flags(number(duplicate))
		g.Expect(own).To(g.BeTrue())
		g.Expect(duplicate.Close()).To(g.Succeed())
		fd := specs.OK(Descriptor(w))
		raised := Raise(fd)
		CloseDescriptors([]int{fd})
		g.Expect(raised).To(g.BeNumerically(">=", high))
		closeOnExec, nonblocking := flags(raised)
		g.Expect(closeOnExec && nonblocking).To(g.BeTrue())
		f := OwnFile(raised, "own")
		g.Expect(f.SetDeadline(time.Now())).To(g.Succeed(), "it is polled")
		g.Expect(f.Close()).To(g.Succeed())
		g.Expect(Raise(-1)).To(g.Equal(-1), "what cannot be raised stays")
	})

	It("may be a standard stream", func() {
		_, w := pipe()
		g.Expect([]bool{IsStandard(os.Stderr), IsStandard(w)}).To(g.Equal([]bool{true, false}))
	})

	DescribeTable("is written to its end, however little it takes", func(blocking bool) {
		r, w := pipe()
		if blocking {
			_ = w.Fd()
		}
		text := bytes.Repeat([]byte("0123456789"), 50_000)
		written := make(chan error, 1)
		go func() { written <- WriteAll(w, text) }()
		g.Eventually(Unread).WithArguments(r).Should(g.BeNumerically(">", 0))
		g.Expect(written).NotTo(g.Receive(), "it is larger than the pipe")
		g.Expect(w.Write([]byte{})).To(g.BeZero(), "no lock keeps others from writing")
		got := make([]byte, len(text))
		g.Expect(io.ReadFull(r, got)).To(g.Equal(len(text)))
		g.Expect(bytes.Equal(got, text)).To(g.BeTrue())
		g.Eventually(written).Should(g.Receive(g.BeNil()))
		g.Expect(r.Close()).To(g.Succeed())
		g.Expect(WriteAll(w, text)).To(g.Equal(syscall.EPIPE))
	},
		Entry("non-blocking", false),
		Entry("blocking", true),
	)
})

var _ = DescribeTable("the signal that has ended a process", func(script string, expected syscall.Signal) {
	cmd := exec.Command("/bin/sh", "-c", script)
	_ = cmd.Run()
	g.Expect(EndedBy(cmd.ProcessState)).To(g.Equal(expected))
	g.Expect(EndedBy(nil)).To(g.BeZero())
},
	Entry("is none", "exit 9", syscall.Signal(0)),
	Entry("is known", "kill -TERM $$", syscall.SIGTERM),
)

func init() {
	specs.Roles["no stdout"] = specs.Trial(func([]string) error {
		for fd := range 3 {
			_ = unix.Close(fd)
		}
		for range 2 {
			r, w, err := Pipe()
			if err != nil {
				return err
			}
			if flags, _ := unix.FcntlInt(w.Fd(), unix.F_GETFD, 0); w.Fd() <= 2 || flags&unix.FD_CLOEXEC == 0 {
				return fmt.Errorf("descriptor %d for a pipe, with flags %d", w.Fd(), flags)
			}
			_ = r.Close()
			if _, err := w.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				return fmt.Errorf("write: %v", err)
			}
		}
		return nil
	})
	take := func(lowest int) error {
		r, w, err := os.Pipe()
		if err := errors.Join(err, unix.Dup3(int(r.Fd()), 0, 0), r.Close()); err != nil {
			return err
		}
		stdin, err := TakeStdin()
		if err != nil || int(stdin.Fd()) < lowest {
			return fmt.Errorf("%v for what stdin was: %v", stdin, err)
		}
		for range 2 { // here, and in what is started here
			if n, err := os.Stdin.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				return fmt.Errorf("read: %d, %v", n, err)
			}
			if out, err := (&exec.Cmd{Path: "/bin/cat", Stdin: os.Stdin}).Output(); len(out) > 0 || err != nil {
				return fmt.Errorf("cat: %q, %v", out, err)
			}
		}
		_, err = w.WriteString("text")
		if err := errors.Join(err, w.Close()); err != nil {
			return err
		}
		if b, err := io.ReadAll(stdin); string(b) != "text" || err != nil {
			return fmt.Errorf("read: %q, %v", b, err)
		}
		return nil
	}
	specs.Roles["stdin is taken"] = specs.Trial(func([]string) error { return take(high) })
	specs.Roles["stdin is taken, few descriptors"] = specs.Trial(func([]string) error {
		few := syscall.Rlimit{Cur: high, Max: high}
		return errors.Join(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few), take(3))
	})
}
