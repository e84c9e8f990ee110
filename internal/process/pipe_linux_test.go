package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/pipe"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// reader returns a reader, and who writes to it.
func reader() (r *Reader, w *os.File) {
	GinkgoHelper()
	file, w, err := makePipe()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { closeAll([]*os.File{file, w}) })
	return &Reader{file: file}, w
}

// reading reads once, elsewhere.
func reading(r *Reader) (ended chan error) {
	ended = make(chan error, 1)
	go func() {
		_, err := r.Read(make([]byte, 10))
		ended <- err
	}()
	return ended
}

var _ = Describe("a reader", func() {

	It("reads to the end", func() {
		r, w := reader()
		Expect(w.WriteString("text")).To(Equal(4))
		Expect(w.Close()).To(Succeed())
		b, err := io.ReadAll(r)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(b)).To(Equal("text"))
	})

	It("can be interrupted, and go on", func() {
		r, w := reader()
		for range 2 {
			ended := reading(r)
			Consistently(ended, "10ms").ShouldNot(Receive())
			r.Interrupt()
			Eventually(ended).Should(Receive(MatchError(os.ErrDeadlineExceeded)))
			Expect(w.WriteString("more")).To(Equal(4))
			Expect(r.Read(make([]byte, 10))).To(Equal(4), "what is there is to be had")
			_, err := r.Read(make([]byte, 10))
			Expect(err).To(MatchError(os.ErrDeadlineExceeded), "until it is resumed")
			r.Resume()
			Expect(w.WriteString("more")).To(Equal(4))
			Expect(r.Read(make([]byte, 10))).To(Equal(4))
		}
	})

	It("stays interrupted when it gets a limit", func() {
		r, _ := reader()
		r.Interrupt()
		r.limit(time.Now().Add(time.Hour))
		Eventually(reading(r)).Should(Receive(MatchError(os.ErrDeadlineExceeded)))
		r.Resume()
		ended := reading(r)
		Consistently(ended, "10ms").ShouldNot(Receive())
		r.limit(time.Now())
		Eventually(ended).Should(Receive(Equal(ErrHeld)))
	})

	It("keeps its limit when it is interrupted", func() {
		r, _ := reader()
		r.limit(time.Now().Add(30 * time.Millisecond))
		r.Interrupt()
		Eventually(reading(r)).Should(Receive(MatchError(os.ErrDeadlineExceeded)))
		r.Resume()
		Eventually(reading(r)).Should(Receive(Equal(ErrHeld)))
	})

	It("gets what is in the pipe when its time is over", func() {
		r, w := reader()
		Expect(w.WriteString("text")).To(Equal(4))
		r.limit(time.Now())
		Expect(r.Read(nil)).To(BeZero())
		Expect(r.Read(make([]byte, 10))).To(Equal(4))
		_, err := r.Read(make([]byte, 10))
		Expect(err).To(Equal(ErrHeld), "it has no end")
		Expect(w.Close()).To(Succeed())
		_, err = r.Read(make([]byte, 10))
		Expect(err).To(Equal(io.EOF))
	})

	It("gets no more than a pipeful when its time is over", func() {
		r, w := reader()
		r.limit(time.Now())
		stop := make(chan struct{})
		go func() { // an eager descendant
			defer close(stop)
			for b := make([]byte, 4096); ; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}()
		total, err := 0, error(nil)
		for b := make([]byte, 4096); err == nil; {
			var n int
			n, err = r.Read(b)
			total += n
		}
		Expect(err).To(Equal(ErrHeld))
		Expect(total).To(BeNumerically("<", pipe.Max+4096))
		Expect(r.file.Close()).To(Succeed())
		Eventually(stop).Should(BeClosed())
	})

})

var _ = Describe("a pipe", func() {

	It("that nobody can poll is an error", func() {
		file, err := os.Open("/proc/self/exe")
		Expect(err).NotTo(HaveOccurred())
		defer file.Close()
		Expect(mustBePolled(file)).To(MatchError(ContainSubstring("cannot poll a pipe")))
	})

	It("that is closed can neither be read nor written", func() {
		r, w := reader()
		closeAll([]*os.File{r.file, w})
		_, err := readNow(r.file, make([]byte, 1))
		Expect(err).To(HaveOccurred())
		_, err = writeNow(w, make([]byte, 1))
		Expect(err).To(HaveOccurred())
		writeQuietly(w, make([]byte, 1))
	})

	DescribeTable("in a process that lacks something", func(role string) {
		r, w, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		defer r.Close()
		cmd := specs.Child(role, GinkgoT().TempDir())
		cmd.ExtraFiles = []*os.File{w}
		err = cmd.Run()
		_ = w.Close()
		said, _ := io.ReadAll(r)
		if reason, ok := strings.CutPrefix(string(said), "skip: "); ok {
			Skip(reason)
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(string(said)).To(Equal("well"))
	},
		Entry("does not take the place of stdout", "no stdout"),
		Entry("of whom nobody hears does not kill who writes to stderr", "deaf stderr"),
		Entry("does the service of /dev/null", "no /dev/null"),
	)

})

func init() {
	say := os.NewFile(3, "say")
	try := func(f func() error) func(args []string) {
		return func([]string) {
			if err := f(); err != nil {
				fmt.Fprint(say, err)
				os.Exit(1)
			}
			fmt.Fprint(say, "well")
		}
	}
	specs.Roles["no stdout"] = try(func() error {
		for fd := range 3 {
			_ = unix.Close(fd)
		}
		for range 2 {
			r, w, err := makePipe()
			if err != nil {
				return err
			}
			if w.Fd() <= 2 {
				return fmt.Errorf("descriptor %d for a pipe", w.Fd())
			}
			if flags, _ := unix.FcntlInt(w.Fd(), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
				return errors.New("children inherit it")
			}
			_ = r.Close()
			if _, err := w.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				return fmt.Errorf("write: %v", err)
			}
		}
		return nil
	})
	specs.Roles["deaf stderr"] = try(func() error {
		r, w, err := os.Pipe()
		if err == nil {
			err = errors.Join(unix.Dup3(int(w.Fd()), 2, 0), r.Close(), w.Close())
		}
		if _, writeErr := (ParentStderr{}).Write([]byte("x")); writeErr != nil {
			return writeErr
		}
		_ = os.Stderr.Close()
		_, writeErr := (ParentStderr{}).Write([]byte("x"))
		return errors.Join(err, writeErr)
	})
	specs.Roles["no /dev/null"] = func(args []string) {
		if err := unix.Chroot(args[0]); err != nil {
			fmt.Fprint(say, "skip: needs a root without /dev/null: ", err)
			return
		}
		try(func() error {
			f, err := nothing()
			if err != nil {
				return err
			}
			if n, err := f.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				return fmt.Errorf("read: %d, %v", n, err)
			}
			if _, err := f.Write(make([]byte, 1)); !errors.Is(err, syscall.EBADF) {
				return fmt.Errorf("write: %v", err)
			}
			return nil
		})(nil)
	}
}
