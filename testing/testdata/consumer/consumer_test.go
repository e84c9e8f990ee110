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

func TestMain(m *testing.M) { os.Exit((&rxtesting.M{M: m}).Run()) }

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

// run runs an action, which answers, while the parent does something else.
func run(t *testing.T, action string, options ...reexec.ReexecActionOption) {
	Parent()
	var result string
	if err := reexec.RunReexecAction(action, append(options, namespaces(), reexec.Result(&result))...); err != nil || result != "child" {
		t.Errorf("answer is %q, and error %v", result, err)
	}
}

func TestAnswer(t *testing.T) { run(t, "answer") }

func TestFailure(t *testing.T) {
	run(t, "answer")
	t.Error("fails on purpose")
}

func TestMany(t *testing.T) {
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { run(t, "answer") })
	}
	all.Wait()
}

func TestOtherDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	run(t, "answer")
}

// end runs an action that ends with a status.
func end(t *testing.T, action string, status int, text string) {
	Parent()
	err := reexec.RunReexecAction(action, namespaces())
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != status || !strings.Contains(err.Error(), text) {
		t.Errorf("want exit status %d, but error is %v", status, err)
	}
}

func TestPanic(t *testing.T) { end(t, "panic", 2, "panic: child panics") }

func TestExit(t *testing.T) { end(t, "exit", 3, "") }

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
