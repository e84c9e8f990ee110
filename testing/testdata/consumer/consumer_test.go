package consumer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"example.com/gons/reexec"
	rxtesting "example.com/gons/reexec/testing"
)

func init() {
	reexec.Register("answer", func() { fmt.Printf("%q", Child()) })
	reexec.Register("panic", func() { panic(Child() + " panics") })
	reexec.Register("exit", func() {
		Child()
		os.Exit(3)
	})
}

var function = reexec.RegisterFunc("function", func(panics bool) (string, error) {
	if panics {
		panic(Child() + " panics")
	}
	return Child(), nil
})

func TestMain(m *testing.M) {
	os.Exit((&rxtesting.M{M: m}).Run())
}

// namespaces returns those of the environment: TYPE=PATH,TYPE=PATH.
func namespaces() reexec.ReexecActionOption {
	var all []reexec.Namespace
	for ns := range strings.SplitSeq(os.Getenv("CONSUMER_NAMESPACES"), ",") {
		if kind, path, ok := strings.Cut(ns, "="); ok {
			all = append(all, reexec.Namespace{Type: kind, Path: path})
		}
	}
	return reexec.Namespaces(all)
}

func answer(t *testing.T) { run(t, "answer") }

func run(t *testing.T, action string) {
	var result string
	if err := reexec.RunReexecAction(action, namespaces(), reexec.Result(&result)); err != nil {
		t.Error(err)
	} else if result != "child" {
		t.Errorf("answer is %q", result)
	}
}

func TestAnswer(t *testing.T) {
	Parent()
	answer(t)
}

func TestFailure(t *testing.T) {
	TestAnswer(t)
	t.Error("fails on purpose")
}

func TestMany(t *testing.T) {
	Parent()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { answer(t) })
	}
	all.Wait()
}

func TestOtherDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	TestAnswer(t)
}

func TestPanic(t *testing.T) {
	Parent()
	err := reexec.RunReexecAction("panic", namespaces())
	expectStatus(t, err, 2)
	if err == nil || !strings.Contains(err.Error(), "panic: child panics") {
		t.Errorf("error is %v", err)
	}
}

func TestFunc(t *testing.T) {
	Parent()
	if result, err := function.Call(t.Context(), false, namespaces()); err != nil || result != "child" {
		t.Errorf("result is %q, and error %v", result, err)
	}
}

func TestFuncPanic(t *testing.T) {
	Parent()
	_, err := function.Call(t.Context(), true, namespaces())
	if panicked := (*reexec.PanicError)(nil); !errors.As(err, &panicked) {
		t.Errorf("want a panic, but error is %v", err)
	}
}

func TestExit(t *testing.T) {
	Parent()
	expectStatus(t, reexec.RunReexecAction("exit", namespaces()), 3)
}

func expectStatus(t *testing.T, err error, code int) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		t.Errorf("want exit status %d, but error is %v", code, err)
	}
}
