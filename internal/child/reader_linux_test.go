package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/sys"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// reader returns a reader, and who writes to it.
func reader() (r *Reader, w *os.File) {
	GinkgoHelper()
	file, w := specs.OK2(sys.Pipe())
	DeferCleanup(func() { sys.CloseAll(file, w) })
	r = &Reader{}
	Expect(r.open(file)).To(Succeed())
	return r, w
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
		Expect(io.ReadAll(r)).To(BeEquivalentTo("text"))
	})

	// polling waits for the pipe, elsewhere.
	polling := func(r *Reader) (ended chan bool) {
		ended = make(chan bool, 1)
		go func() {
			ended <- r.Poll(func(uintptr) bool {
				_, err := r.Now(make([]byte, 10))
				return err != syscall.EAGAIN
			})
		}()
		return ended
	}

	It("can be interrupted, and go on", func() {
		r, w := reader()
		for range 2 {
			ended := polling(r)
			Consistently(ended, "10ms").ShouldNot(Receive())
			r.Interrupt()
			Eventually(ended).Should(Receive(BeFalse()))
			Expect(w.WriteString("more")).To(Equal(4))
			Expect(r.Now(make([]byte, 10))).To(Equal(4), "what is there is to be had")
			Eventually(polling(r)).Should(Receive(BeFalse()), "until it is resumed")
			r.Resume()
			Expect(w.WriteString("more")).To(Equal(4))
			Eventually(polling(r)).Should(Receive(BeTrue()))
		}
	})

	It("stays interrupted when it gets a limit", func() {
		r, _ := reader()
		r.Interrupt()
		r.limit(time.Now().Add(time.Hour))
		Eventually(polling(r)).Should(Receive(BeFalse()))
		r.Resume()
		ended := polling(r)
		Consistently(ended, "10ms").ShouldNot(Receive())
		r.limit(time.Now())
		Eventually(ended).Should(Receive(BeFalse()))
		Eventually(reading(r)).Should(Receive(Equal(ErrHeld)))
	})

	It("keeps its limit when it is interrupted", func() {
		r, _ := reader()
		r.limit(time.Now().Add(30 * time.Millisecond))
		r.Interrupt()
		Eventually(polling(r)).Should(Receive(BeFalse()))
		r.Resume()
		Eventually(reading(r)).Should(Receive(Equal(ErrHeld)))
	})

	It("has its limit even if a deadline comes a little early", func() {
		r, _ := reader()
		Expect(r.file.SetReadDeadline(time.Now())).To(Succeed())
		ended := reading(r)
		Consistently(ended, "5ms").ShouldNot(Receive())
		r.limit(time.Now())
		Eventually(ended).Should(Receive(Equal(ErrHeld)))
	})

	It("gets what is in the pipe when its time is over", func() {
		r, w := reader()
		Expect(w.WriteString("text")).To(Equal(4))
		r.limit(time.Now())
		Expect(r.Read(nil)).To(BeZero())
		Expect(r.Read(make([]byte, 10))).To(Equal(4))
		Expect(r.Read(make([]byte, 10))).Error().To(Equal(ErrHeld), "it has no end")
		Expect(w.Close()).To(Succeed())
		Expect(r.Read(make([]byte, 10))).Error().To(Equal(io.EOF))
	})

	It("reads now what is there, and never waits", func() {
		r, w := reader()
		b := make([]byte, 10)
		Expect(r.Now(b)).Error().To(Equal(syscall.EAGAIN))
		ended := reading(r) // who waits hinders nobody
		Consistently(ended, "10ms").ShouldNot(Receive())
		Expect(r.Now(b)).Error().To(Equal(syscall.EAGAIN))
		Expect(w.WriteString("text")).To(Equal(4))
		Eventually(ended).Should(Receive(BeNil()))
		Expect(w.WriteString("more")).To(Equal(4))
		r.Interrupt()
		Expect(r.Now(b)).To(Equal(4))
		Expect(r.Now(b)).Error().To(Equal(syscall.EAGAIN), "interrupted or not")
		r.limit(time.Now())
		Expect(r.Now(b)).Error().To(Equal(ErrHeld))
		Expect(w.Close()).To(Succeed())
		Expect(r.Now(b)).Error().To(Equal(io.EOF))
		Expect(r.file.Close()).To(Succeed())
		Expect(r.Now(b)).Error().To(MatchError(ContainSubstring("closed")))
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
		Expect(total).To(BeNumerically("<", sys.MaxPipe+4096))
		Expect(r.file.Close()).To(Succeed())
		Eventually(stop).Should(BeClosed())
	})
})

var _ = Describe("a pipe", func() {
	DescribeTable("in a process that lacks something", func(role string) { specs.Try(role, GinkgoT().TempDir()) },
		Entry("of whom nobody hears does not kill who writes to stderr", "deaf stderr"),
		Entry("does the service of /dev/null", "no /dev/null"),
	)
})

func init() {
	specs.Roles["deaf stderr"] = specs.Trial(func([]string) error {
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
	specs.Roles["no /dev/null"] = specs.Trial(func(args []string) error {
		if err := unix.Chroot(args[0]); err != nil {
			return fmt.Errorf("needs a root without /dev/null: %w", err)
		}
		f, err := (&files{}).nothing()
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
	})
}
