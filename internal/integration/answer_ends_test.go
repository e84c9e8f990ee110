package integration

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// moment is how long a spec waits for what takes no time: much too long for anything to take,
// but not for ever. Emulated machines need more.
var moment = 20 * time.Second

func init() {
	flag.DurationVar(&moment, "moment", moment, "how long specs wait for what takes no time")
}

// fate runs f in a goroutine of its own and tells how it ends: "returns", "goexit", or
// with a panic. What hangs fails the spec, and its children are killed afterwards.
func fate(f func()) (fate string) {
	GinkgoHelper()
	DeferCleanup(killChildren)
	ended := make(chan string, 1)
	go func() {
		fate := "goexit"
		defer func() {
			if value := recover(); value != nil {
				fate = fmt.Sprint("panic: ", value)
			}
			ended <- fate
		}()
		f()
		fate = "returns"
	}()
	Eventually(ended).WithTimeout(moment).Should(Receive(&fate), "it hangs")
	return fate
}

// inTime runs f, which must return in time, and returns its error.
func inTime(f func() error) (err error) {
	GinkgoHelper()
	Expect(fate(func() { err = f() })).To(Equal("returns"))
	return err
}

// withoutGC has files that are forgotten stay open until the end of the spec.
func withoutGC() {
	percent := debug.SetGCPercent(-1)
	DeferCleanup(debug.SetGCPercent, percent)
}

// A safeBuffer is for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *safeBuffer) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Len()
}

// An explosive result panics, or ends its goroutine, when it is decoded, if it says so.
type explosive string

func (e explosive) MarshalJSON() ([]byte, error) { return []byte(`"` + e + `"`), nil }

func (e *explosive) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `"panic"`:
		panic("at the decoder")
	case `"goexit"`:
		runtime.Goexit()
	}
	*e = explosive(b)
	return nil
}

var explode = reexec.RegisterFunc("explode", func(s string) (explosive, error) { return explosive(s), nil })

var _ = Describe("a result that cannot be decoded to its end", func() {

	BeforeEach(withoutGC)

	for _, end := range []string{"panic: at the decoder", "goexit"} { // of the goroutine that decodes it

		result, _, _ := strings.Cut(end, ":")

		It("leaves nothing of an action: "+result, func() {
			files := openFiles()
			for range 3 {
				Expect(fate(func() {
					_ = reexec.RunReexecAction("echo, linger", reexec.Param(result),
						reexec.Result(new(explosive)), reexec.GracePeriod(50*time.Millisecond))
				})).To(Equal(end))
				Eventually(children).WithTimeout(moment).Should(BeEmpty())
			}
			Eventually(openFiles).WithTimeout(moment).Should(Equal(files))
		})

		It("leaves nothing of a call: "+result, func() {
			files := openFiles()
			for range 3 {
				Expect(fate(func() { _, _ = explode.Call(background, result) })).To(Equal(end))
				Eventually(children).WithTimeout(moment).Should(BeEmpty())
			}
			Eventually(openFiles).WithTimeout(moment).Should(Equal(files))
		})

		It("leaves nothing of a worker: "+result, func() {
			files := openFiles()
			w, err := explode.Start(background, reexec.GracePeriod(50*time.Millisecond))
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(func() { _ = w.Close() })
			Expect(fate(func() { _, _ = w.Call(background, result) })).To(Equal(end))
			Eventually(children).WithTimeout(moment).Should(BeEmpty())
			Expect(inTime(func() error {
				_, err := w.Call(background, "fine")
				return err
			})).To(HaveOccurred(), "it is gone")
			_ = inTime(w.Close)
			Eventually(openFiles).WithTimeout(moment).Should(Equal(files))
		})

	}

})

func init() {
	reexec.Register("echo, linger", func() { answer(param()); time.Sleep(time.Hour) })
	reexec.Register("print", func() { fmt.Print(param()) })
	reexec.Register("print, linger", func() { fmt.Print(param()); time.Sleep(time.Hour) })
	reexec.Register("print slowly", func() {
		for _, r := range param().(string) {
			fmt.Print(string(r))
			time.Sleep(20 * time.Millisecond)
		}
	})
	reexec.Register("print, leave descendant", func() {
		fmt.Fprint(os.Stderr, leaveDescendant())
		fmt.Print(param())
	})
}

var _ = Describe("an answer without a newline", func() {

	// run has an action print a text. A descendant that it leaves is killed.
	run := func(action, text string, grace time.Duration) (result any, err error) {
		GinkgoHelper()
		result = "nothing"
		var heard safeBuffer
		err = inTime(func() error {
			return reexec.RunReexecAction(action, reexec.Param(text), reexec.Result(&result),
				reexec.GracePeriod(grace), reexec.Stderr(&heard))
		})
		if pid := heard.String(); pid != "" {
			Expect(kill(atoi(pid))).To(Succeed(), "it is still there")
		}
		return result, err
	}

	DescribeTable("is complete with its last byte",
		func(text string, value any) {
			for _, action := range []string{"print", "print, leave descendant", "print, linger"} {
				result, err := run(action, text, 100*time.Millisecond)
				Expect(err).NotTo(HaveOccurred(), action)
				if value == nil {
					Expect(result).To(BeNil(), action)
				} else {
					Expect(result).To(Equal(value), action)
				}
			}
		},
		Entry("a number", `42`, 42.0),
		Entry("a number with all that numbers have", `-1.5e+1`, -15.0),
		Entry("a text", `"done"`, "done"),
		Entry("true", `true`, true),
		Entry("null", `null`, nil),
		Entry("an array", `[1]`, []any{1.0}),
	)

	DescribeTable("is none if something is missing",
		func(text string) {
			for _, action := range []string{"print", "print, leave descendant"} {
				_, err := run(action, text, 100*time.Millisecond)
				Expect(err).To(MatchError(ContainSubstring("cannot decode child result")), action)
			}
		},
		Entry("of a number", `-`),
		Entry("of a text", `"don`),
		Entry("of a word", `tru`),
		Entry("of an array", `[1`),
		Entry("everything", ``),
	)

	It("is not over before the child says so", func() {
		Expect(run("print slowly", "42", time.Minute)).To(Equal(42.0))
	})

})

var _ = DescribeTable("a result that nothing can be decoded into is a mistake, and nothing is started",
	func(result any) {
		never := GinkgoT().TempDir() + "/never"
		Expect(func() {
			_ = reexec.RunReexecAction("touch", reexec.Param(never), reexec.Result(result))
		}).To(PanicWith(ContainSubstring("Result")))
		Expect(func() {
			_ = (&reexec.ReexecAction{ActionName: "touch", Param: never, Result: result}).Run()
		}).To(PanicWith(ContainSubstring("Result")))
		Expect(never).NotTo(BeAnExistingFile())
	},
	Entry("no pointer", 42),
	Entry("a nil pointer", (*int)(nil)),
	Entry("a map", map[string]int{}),
	Entry("a struct", struct{}{}),
)

func init() {
	reexec.Register("sound like the runtime", func() { fmt.Fprint(os.Stderr, param()) })
}

var _ = DescribeTable("stderr that sounds like a warning of the runtime is a failure where nothing is covered",
	func(text string) {
		if testing.CoverMode() != "" {
			Skip("it is covered")
		}
		err := reexec.RunReexecAction("sound like the runtime", reexec.Param(text))
		Expect(err).To(MatchError(fmt.Sprintf("gons/reexec: ReexecAction.Run: child failed with stderr message %q", text)))
	},
	Entry(nil, "program not built with -cover\n"),
	Entry(nil, "warning: GOCOVERDIR not set, no coverage data emitted\n"),
)
