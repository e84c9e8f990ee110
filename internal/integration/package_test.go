// Package integration holds the specs of the public API, on real namespaces and real processes.
package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"testing"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"
	rxtesting "example.com/gons/reexec/testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestMain(m *testing.M) {
	specs.Play()
	reexec.CheckAction() // what comes now is not for children
	specs.BeInit()
	os.Exit((&rxtesting.M{M: m}).Run())
}

func TestIntegration(t *testing.T) { specs.Run(t, "reexec/internal/integration") }

var _ = BeforeEach(specs.LeaveNothing)

var _ = AfterSuite(func() { Expect(strayThreads()).To(BeEmpty(), "no thread must be left in another namespace") })

// asParent makes a main function of a parent: its children run their actions.
func asParent(main func(args []string)) func(args []string) {
	return func(args []string) {
		reexec.CheckAction()
		RegisterFailHandler(func(message string, _ ...int) { panic(message) })
		main(args)
	}
}

// atoi returns a number that is known to be one.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func itoa(n int) string { return strconv.Itoa(n) }

// often is how often a spec tries what goes wrong only sometimes: a quarter of n, or n where LONG_SPECS is set.
func often(n int) int {
	if os.Getenv("LONG_SPECS") == "" {
		n = (n + 3) / 4
	}
	return n
}

type option = reexec.ReexecActionOption

// errEnough is the cause of all that specs cancel.
var errEnough = errors.New("enough is enough")

// onStderr calls f with what a child says on stderr.
func onStderr(f func(said string)) option {
	return reexec.Stderr(writerFunc(func(b []byte) (int, error) { f(string(b)); return len(b), nil }))
}

// must returns what has come without an error.
func must[T any](value T, err error) T {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return value
}

// as returns the error of a type that an error is or wraps.
func as[T error](err error) (target T) {
	GinkgoHelper()
	Expect(errors.As(err, &target)).To(BeTrue(), "%v", err)
	return target
}

// run runs an action, and returns its result.
func run[T any](action string, options ...option) (result T, err error) {
	err = reexec.RunReexecAction(action, append(options, reexec.Result(&result))...)
	return result, err
}

// errorOf returns the error of a call whose result does not matter.
func errorOf[R any](_ R, err error) error { return err }

// within returns a context that ends after a time, with a cause: its deadline, if that is nil.
func within(d time.Duration, cause error) context.Context {
	ctx, cancel := context.WithTimeoutCause(background, d, cause)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// called is a function that is called with these options.
func called[P, R any](f reexec.Func[P, R], options ...option) func(context.Context, P) (R, error) {
	return func(ctx context.Context, param P) (R, error) { return f.Call(ctx, param, options...) }
}

// inBackground runs something in a goroutine of its own, which tells its error.
func inBackground(run func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		defer GinkgoRecover()
		done <- run()
	}()
	return done
}

// received returns the error that comes from a channel, in time.
func received(done <-chan error, hint ...any) (err error) {
	GinkgoHelper()
	Eventually(done).WithTimeout(moment).Should(Receive(&err), hint...)
	return err
}

// opened opens a file until the end of the spec.
func opened(path string) *os.File {
	GinkgoHelper()
	f := must(os.Open(path))
	DeferCleanup(func() { _ = f.Close() })
	return f
}

// pipe opens a pipe until the end of the spec.
func pipe() (r, w *os.File) {
	GinkgoHelper()
	r, w = specs.OK2(os.Pipe())
	DeferCleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// start starts a worker that is closed at the end of the spec.
func start[P, R any](f reexec.Func[P, R], options ...option) *reexec.Worker[P, R] {
	GinkgoHelper()
	w := must(f.Start(background, options...))
	DeferCleanup(func() { _ = w.Close() })
	return w
}

// bothCalls are those of a function in a child of its own, and of a worker.
func bothCalls[P, R any](f reexec.Func[P, R], options ...option) []func(context.Context, P) (R, error) {
	GinkgoHelper()
	return []func(context.Context, P) (R, error){called(f, options...), start(f, options...).Call}
}

// together does something in n goroutines, which must succeed.
func together(n int, do func(i int) error) {
	GinkgoHelper()
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- do(i) }()
	}
	for range n {
		Expect(<-errs).To(Succeed())
	}
}

var silently = reexec.Stderr(io.Discard)

func joining(refs ...reexec.Namespace) option { return reexec.Namespaces(refs) }

// all returns the events of a loop that is not left, and the error that must be its last pair.
func all[E any](events iter.Seq2[E, error]) (all []E, err error) {
	for event, failure := range events {
		if err != nil {
			return all, fmt.Errorf("more after an error: %v", err)
		}
		if err = failure; err == nil {
			all = append(all, event)
		}
	}
	return all, err
}
