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
	"unicode"
	"unicode/utf8"

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
		w := must(failing.Start(background))
		defer w.Close()
		for i, err := range travelling {
			_, got := w.Call(background, i)
			Expect(got).To(BeAssignableToTypeOf(&reexec.FuncError{}))
			Expect(got).To(MatchError("wrapped: " + err.Error()))
			for _, other := range travelling {
				Expect(errors.Is(got, other)).To(Equal(errors.Is(err, other)), "%v: %v", err, other)
			}
		}
		_, err := w.Call(background, len(travelling))
		Expect(err).To(MatchError("unregistered"))
		Expect(errors.Is(err, errUnregistered)).To(BeFalse())
	})

	It("are errors of the network, if those of the function were", func() {
		for n := 4; n < 8; n++ {
			_, err := failing.Call(background, len(travelling)+n)
			Expect(as[net.Error](err).Timeout()).To(Equal(n&1 != 0))
			Expect(err.(interface{ Temporary() bool }).Temporary()).To(Equal(n&2 != 0))
		}
	})

	It("are bounded, in the middle", func() {
		_, err := failing.Call(background, len(travelling)+1)
		failed := as[*reexec.FuncError](err)
		Expect(len(failed.Message)).To(And(BeNumerically(">", 60<<10), BeNumerically("<", 70<<10)))
		Expect(failed.Message).To(HaveSuffix("x\nend"))
		Expect(len(err.Error())).To(BeNumerically("<", 5<<10))
		Expect(err.Error()).To(And(HaveSuffix("x end"), ContainSubstring("bytes left out")))

		_, err = failing.Call(background, len(travelling)+2)
		Expect(len(as[*reexec.PanicError](err).Value)).To(BeNumerically("<", 70<<10))
		Expect(len(err.Error())).To(BeNumerically("<", 5<<10))
		Expect(fmt.Sprintf("%+v", err)).To(And(HavePrefix(err.Error()), ContainSubstring("\nstack:\n"), ContainSubstring("errors_test.go")))
		Expect(fmt.Sprintf("%v", err)).To(Equal(err.Error()))
		Expect(fmt.Sprintf("%q", err)).To(HavePrefix(`"gons/reexec: `))
	})

	It("must not be nil to be registered", func() {
		Expect(func() { reexec.RegisterErrors(nil) }).To(PanicWith(ContainSubstring("nil error")))
	})
})

// hostile is what a child in a hostile container may say to a terminal, and to whoever reads logs line by line.
const hostile = "\x1b]0;title\a\x1b[2J\rover\b\x00\x7f\v\f\n\u0085\u009b31m\u2028\u2029\u202egpj.exe"

// expectTame expects the text of an error to be one line that does no harm.
func expectTame(err error) {
	GinkgoHelper()
	Expect(err).To(HaveOccurred())
	text := err.Error()
	Expect(utf8.ValidString(text)).To(BeTrue(), "%q", text)
	for _, r := range text {
		Expect(unicode.IsPrint(r)).To(BeTrue(), "%q in %q", r, text)
	}
}

// tame returns what an error is as an ActionError, and expects both texts to be tame.
func tame(err error) *reexec.ActionError {
	GinkgoHelper()
	expectTame(err)
	failed := asActionError(err)
	expectTame(failed.Err)
	return failed
}

// An unreadable parameter cannot be decoded, and says so with words of its own.
type unreadable string

func (u unreadable) MarshalJSON() ([]byte, error) { return nil, nil }
func (u *unreadable) UnmarshalJSON([]byte) error  { return errors.New(hostile) }

var (
	unread  = reexec.RegisterFunc("unread", func(unreadable) (int, error) { return 0, nil })
	dieWith = reexec.RegisterFunc("die with", func(text []byte) (int, error) { // which may be no text
		_, _ = os.Stderr.Write(text)
		os.Exit(3)
		return 0, nil
	})
)

func init() {
	reexec.Register("complain hostilely", func() { fmt.Fprint(os.Stderr, hostile) })
	reexec.Register("answer hostilely", func() { fmt.Print(hostile) })
	reexec.Register("complain and answer hostilely", func() {
		fmt.Fprint(os.Stderr, hostile)
		fmt.Print(hostile)
	})
}

var _ = Describe("the text of an error", func() {
	It("has no control characters of a function's error", func() {
		for _, by := range ways[string, int]() {
			_, err := by(fail, hostile)
			expectTame(err)
			Expect(as[*reexec.FuncError](err).Message).To(Equal(hostile), "whoever wants it")
			Expect(err).To(MatchError(ContainSubstring("over")))
		}
	})

	It("has no control characters of a panic", func() {
		for _, by := range ways[string, int]() {
			_, err := by(panicking, hostile)
			expectTame(err)
			Expect(as[*reexec.PanicError](err).Value).To(Equal(hostile), "whoever wants it")
		}
	})

	It("has no control characters, nor what is no text, of the stderr of a child that dies", func() {
		for _, text := range []string{hostile, "\xff\x9b31m"} {
			for _, by := range ways[[]byte, int]() {
				Expect(tame(errorOf(by(dieWith, []byte(text), silently))).Stderr).To(Equal(text), "whoever wants it")
			}
		}
	})

	It("has no control characters of a decoder in the child", func() {
		for _, by := range ways[unreadable, int]() {
			_, err := by(unread, "")
			Expect(tame(err)).To(MatchError(ContainSubstring("cannot decode parameter in child")))
		}
	})

	It("has no control characters of an action", func() {
		for _, action := range []string{"complain hostilely", "answer hostilely", "complain and answer hostilely"} {
			tame(errorOf(run[int](action)))
		}
	})

	It("holds all that was kept of an action's stderr", func() {
		Expect(reexec.RunReexecAction("big failure")).To(MatchError(ContainSubstring(fmt.Sprintf("%q", bigFailure))))
	})

	DescribeTable("holds little of a function's stderr, its beginning and its end", func(size int) {
		text := "BEGIN" + strings.Repeat("x", size) + "END"
		for _, by := range ways[[]byte, int]() {
			_, err := by(dieWith, []byte(text), silently)
			Expect(exitCode(err)).To(Equal(3))
			Expect(err).To(MatchError(And(ContainSubstring("BEGINxxx"), ContainSubstring("xxxEND"))))
			Expect(len(err.Error())).To(BeNumerically("<", 1024+300)) // with the words around it
			Expect(asActionError(err).Stderr == text).To(BeTrue(), "all that was kept")
		}
	},
		Entry("little", 100), Entry("more than that", 2000), Entry("much", 100_000))

	It("is one line, also that of all the causes together", func() {
		for _, action := range []string{"status and stderr", "big failure", "garbage", "panic"} {
			tame(errorOf(run[int](action)))
		}
		tame(reexec.RunReexecAction("big failure", reexec.Param(strings.Repeat("x", 4<<20))))

		ctx, whenHanging := cancelWhenHanging(errors.New("enough\nis enough"))
		tame(reexec.RunReexecActionContext(ctx, "hang", whenHanging))
		tame(reexec.RunReexecActionContext(ctx, "answer")) // which is not started any more
	})
})
