package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Sentinels of a program of its own.
var errOwn, errOther, errUnregistered = errors.New("own"), errors.New("other"), errors.New("unregistered")

func init() { reexec.RegisterErrors(errOwn, errOther) }

// travelling are errors that are the same on both sides.
var travelling = []error{
	errors.ErrUnsupported,
	io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, io.ErrNoProgress, io.ErrShortBuffer, io.ErrShortWrite,
	fs.ErrInvalid, fs.ErrPermission, fs.ErrExist, fs.ErrNotExist, fs.ErrClosed, fs.SkipDir, fs.SkipAll,
	os.ErrNoDeadline, os.ErrDeadlineExceeded, os.ErrProcessDone,
	exec.ErrNotFound, exec.ErrDot, exec.ErrWaitDelay,
	net.ErrClosed, net.ErrWriteToConnected,
	context.Canceled, context.DeadlineExceeded,
	syscall.EAGAIN, syscall.ENOENT,
	errOwn, errOther,
}

// A slowness is an error with methods of its own.
type slowness struct{ timeout, temporary bool }

func (s slowness) Error() string   { return "slow" }
func (s slowness) Timeout() bool   { return s.timeout }
func (s slowness) Temporary() bool { return s.temporary }

// failing fails with the error of that index, wrapped, or with one of its own.
var failing = reexec.RegisterFunc("failing", func(i int) (string, error) {
	switch {
	case i < len(travelling):
		return "", fmt.Errorf("wrapped: %w", travelling[i])
	case i == len(travelling):
		return "", errUnregistered
	case i == len(travelling)+1:
		return "", errors.New(strings.Repeat("x", 100<<10) + "\nend")
	case i == len(travelling)+2:
		panic(strings.Repeat("x", 100<<10) + "\nend")
	}
	n := i - len(travelling)
	return "", fmt.Errorf("wrapped: %w", slowness{n&1 != 0, n&2 != 0})
})

var _ = Describe("errors of functions", func() {

	It("keep what is the same on both sides", func() {
		w, err := failing.Start(background)
		Expect(err).NotTo(HaveOccurred())
		defer w.Close()
		for i, err := range travelling {
			_, got := w.Call(background, i)
			Expect(got).To(BeAssignableToTypeOf(&reexec.FuncError{}))
			Expect(got).To(MatchError("wrapped: " + err.Error()))
			for _, other := range travelling {
				Expect(errors.Is(got, other)).To(Equal(errors.Is(err, other)), "%v: %v", err, other)
			}
		}
		_, err = w.Call(background, len(travelling))
		Expect(err).To(MatchError("unregistered"))
		Expect(errors.Is(err, errUnregistered)).To(BeFalse())
	})

	It("are errors of the network, if those of the function were", func() {
		for n := 4; n < 8; n++ {
			_, err := failing.Call(background, len(travelling)+n)
			var asNet net.Error
			Expect(errors.As(err, &asNet)).To(BeTrue())
			Expect(asNet.Timeout()).To(Equal(n&1 != 0))
			Expect(err.(interface{ Temporary() bool }).Temporary()).To(Equal(n&2 != 0))
		}
	})

	It("are bounded, in the middle", func() {
		_, err := failing.Call(background, len(travelling)+1)
		var failed *reexec.FuncError
		Expect(errors.As(err, &failed)).To(BeTrue())
		Expect(len(failed.Message)).To(And(BeNumerically(">", 60<<10), BeNumerically("<", 70<<10)))
		Expect(failed.Message).To(HaveSuffix("x\nend"))
		Expect(len(err.Error())).To(BeNumerically("<", 5<<10))
		Expect(err.Error()).To(And(HaveSuffix("x end"), ContainSubstring("bytes left out")))

		_, err = failing.Call(background, len(travelling)+2)
		var panicked *reexec.PanicError
		Expect(errors.As(err, &panicked)).To(BeTrue())
		Expect(len(panicked.Value)).To(BeNumerically("<", 70<<10))
		Expect(len(err.Error())).To(BeNumerically("<", 5<<10))
		Expect(fmt.Sprintf("%+v", err)).To(And(HavePrefix(err.Error()), ContainSubstring("\nstack:\n"), ContainSubstring("errors_travel_test.go")))
		Expect(fmt.Sprintf("%v", err)).To(Equal(err.Error()))
		Expect(fmt.Sprintf("%q", err)).To(HavePrefix(`"gons/reexec: `))
	})

	It("must not be nil to be registered", func() {
		Expect(func() { reexec.RegisterErrors(nil) }).To(PanicWith(ContainSubstring("nil error")))
	})

})
