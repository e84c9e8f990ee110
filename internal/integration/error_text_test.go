package integration

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// hostile is what a child in a hostile container may say to a terminal, and to whoever reads
// logs line by line.
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

// An unreadable parameter cannot be decoded, and says so with words of its own.
type unreadable string

func (u unreadable) MarshalJSON() ([]byte, error) { return nil, nil }
func (u *unreadable) UnmarshalJSON([]byte) error  { return errors.New(hostile) }

var (
	unread  = reexec.RegisterFunc("unread", func(unreadable) (int, error) { return 0, nil })
	dieWith = reexec.RegisterFunc("die with", func(text string) (int, error) {
		fmt.Fprint(os.Stderr, text)
		os.Exit(3)
		return 0, nil
	})
	dieWithBytes = reexec.RegisterFunc("die with bytes", func(struct{}) (int, error) {
		_, _ = os.Stderr.WriteString("\xff\x9b31m") // is no text, and cannot be a parameter
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
			var failed *reexec.FuncError
			Expect(errors.As(err, &failed)).To(BeTrue())
			Expect(failed.Message).To(Equal(hostile), "whoever wants it")
			Expect(err).To(MatchError(ContainSubstring("over")))
		}
	})

	It("has no control characters of a panic", func() {
		for _, by := range ways[string, int]() {
			_, err := by(panicking, hostile)
			expectTame(err)
			var panicked *reexec.PanicError
			Expect(errors.As(err, &panicked)).To(BeTrue())
			Expect(panicked.Value).To(Equal(hostile), "whoever wants it")
		}
	})

	It("has no control characters, nor what is no text, of the stderr of a child that dies", func() {
		for _, by := range ways[string, int]() {
			_, err := by(dieWith, hostile, reexec.Stderr(&safeBuffer{}))
			expectTame(err)
			Expect(asActionError(err).Stderr).To(Equal(hostile), "whoever wants it")
			expectTame(asActionError(err).Err)
		}
		for _, by := range ways[struct{}, int]() {
			_, err := by(dieWithBytes, struct{}{}, reexec.Stderr(&safeBuffer{}))
			expectTame(err)
			Expect(asActionError(err).Stderr).To(Equal("\xff\x9b31m"))
		}
	})

	It("has no control characters of a decoder in the child", func() {
		for _, by := range ways[unreadable, int]() {
			_, err := by(unread, "")
			Expect(err).To(MatchError(ContainSubstring("cannot decode parameter in child")))
			expectTame(err)
			expectTame(asActionError(err).Err)
		}
	})

	It("has no control characters of an action", func() {
		for _, action := range []string{"complain hostilely", "answer hostilely", "complain and answer hostilely"} {
			err := reexec.RunReexecAction(action, reexec.Result(new(int)))
			expectTame(err)
			expectTame(asActionError(err).Err)
		}
	})

	It("holds all that was kept of an action's stderr", func() {
		err := reexec.RunReexecAction("big failure")
		Expect(err).To(MatchError(ContainSubstring(fmt.Sprintf("%q", bigFailure))))
	})

	DescribeTable("holds little of a function's stderr, its beginning and its end",
		func(size int) {
			text := "BEGIN" + strings.Repeat("x", size) + "END"
			for _, by := range ways[string, int]() {
				_, err := by(dieWith, text, reexec.Stderr(&safeBuffer{}))
				Expect(exitCode(err)).To(Equal(3))
				Expect(err).To(MatchError(And(ContainSubstring("BEGINxxx"), ContainSubstring("xxxEND"))))
				Expect(len(err.Error())).To(BeNumerically("<", 1024+300)) // with the words around it
				Expect(asActionError(err).Stderr == text).To(BeTrue(), "all that was kept")
			}
		},
		Entry("little", 100),
		Entry("more than that", 2000),
		Entry("much", 100_000),
	)

	It("is one line, also that of all the causes together", func() {
		for _, action := range []string{"status and stderr", "big failure", "garbage", "panic"} {
			err := reexec.RunReexecAction(action, reexec.Result(new(int)))
			Expect(asActionError(err).Err.Error()).NotTo(ContainSubstring("\n"), action)
			expectTame(asActionError(err).Err)
		}
		err := reexec.RunReexecAction("big failure", reexec.Param(strings.Repeat("x", 4<<20)))
		expectTame(asActionError(err).Err)

		ctx, whenHanging := cancelWhenHanging(errors.New("enough\nis enough"))
		err = reexec.RunReexecActionContext(ctx, "hang", whenHanging)
		expectTame(err)
		expectTame(asActionError(err).Err)
	})

})
