package reexec_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"time"

	"example.com/gons/reexec"
)

// In real programs these stand beside what calls them, and main calls
// CheckAction. Here TestMain does.
var (
	shout    = reexec.RegisterFunc("shout", func(s string) (string, error) { return s + "!", nil })
	readFile = reexec.RegisterFunc("readFile", func(path string) ([]byte, error) { return os.ReadFile(path) })
	crash    = reexec.RegisterFunc("crash", func(s string) (int, error) { panic(s) })
)

func init() {
	reexec.Register("greet", func() {
		var name string
		if err := json.NewDecoder(os.Stdin).Decode(&name); err != nil {
			fmt.Fprint(os.Stderr, err)
			return
		}
		fmt.Printf("%q\n", "Hello, "+name)
	})
	reexec.Register("complain", func() { fmt.Fprint(os.Stderr, "this is no good") })
	reexec.Register("sleep", func() { select {} })
}

func Example() {
	result, err := shout.Call(context.Background(), "hello")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result)
	// Output: hello!
}

func ExampleRunReexecAction() {
	var greeting string
	err := reexec.RunReexecAction("greet",
		reexec.Param("world"),
		reexec.Result(&greeting))
	fmt.Println(greeting, err)
	// Output: Hello, world <nil>
}

func ExampleRunReexecActionContext() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	err := reexec.RunReexecActionContext(ctx, "sleep")
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	fmt.Println(err)
	// Output:
	// true
	// gons/reexec: ReexecAction.Run: child was killed, reason: context deadline exceeded
}

func ExampleActionError() {
	err := reexec.RunReexecAction("complain")
	var failed *reexec.ActionError
	if errors.As(err, &failed) {
		fmt.Printf("%s: %s\n", failed.Action, failed.Stderr)
	}
	// Output: complain: this is no good
}

func ExampleStderr() {
	var stderr bytes.Buffer
	err := reexec.RunReexecAction("complain", reexec.Stderr(&stderr))
	fmt.Println(stderr.String(), err)
	// Output: this is no good <nil>
}

func ExampleGracePeriod() {
	var greeting string
	err := reexec.RunReexecAction("greet",
		reexec.Param("world"),
		reexec.Result(&greeting),
		reexec.GracePeriod(10*time.Second)) // the child has something to clean up
	fmt.Println(greeting, err)
	// Output: Hello, world <nil>
}

func ExampleFunc_Call() {
	_, err := readFile.Call(context.Background(), "/nowhere")
	fmt.Println(err)
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// open /nowhere: no such file or directory
	// true
}

func ExampleFunc_Start() {
	ctx := context.Background()
	worker, err := shout.Start(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer worker.Close()
	for _, word := range []string{"one", "two", "three"} {
		result, err := worker.Call(ctx, word)
		fmt.Println(result, err)
	}
	// Output:
	// one! <nil>
	// two! <nil>
	// three! <nil>
}

func ExamplePanicError() {
	_, err := crash.Call(context.Background(), "out of cheese")
	var panicked *reexec.PanicError
	if errors.As(err, &panicked) {
		fmt.Println(panicked.Func, panicked.Value, len(panicked.Stack) > 0)
	}
	// Output: crash out of cheese true
}
