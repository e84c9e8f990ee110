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
	"os/signal"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec"
)

// In real programs these stand beside what calls them, and main calls
// CheckAction. Here TestMain does.
var (
	shout    = reexec.RegisterFunc("shout", func(s string) (string, error) { return s + "!", nil })
	readFile = reexec.RegisterFunc("readFile", func(path string) ([]byte, error) { return os.ReadFile(path) })
	crash    = reexec.RegisterFunc("crash", func(s string) (int, error) { panic(s) })
	doze     = reexec.RegisterFuncContext("doze", func(ctx context.Context, d time.Duration) (bool, error) {
		select {
		case <-time.After(d):
			return true, nil
		case <-ctx.Done(): // there is time to clean up
			return false, ctx.Err()
		}
	})
	count = reexec.RegisterStream("count", func(_ context.Context, to int, yield func(int) bool) error {
		for n := 1; n <= to && yield(n); n++ {
		}
		return nil
	})
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
	reexec.Register("sleep", func() { time.Sleep(time.Hour) })
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

// The context of Start bounds the worker's life, that of a call bounds the call.
func ExampleFunc_Start() {
	life, end := context.WithCancel(context.Background())
	defer end()
	worker, err := shout.Start(life)
	if err != nil {
		log.Fatal(err)
	}
	defer worker.Close()
	for _, word := range []string{"one", "two", "three"} {
		ctx, cancel := context.WithTimeout(life, time.Minute)
		result, err := worker.Call(ctx, word)
		cancel()
		fmt.Println(result, err)
	}
	end()
	<-worker.Done()
	fmt.Println(errors.Is(worker.Err(), context.Canceled))
	// Output:
	// one! <nil>
	// two! <nil>
	// three! <nil>
	// true
}

// A program that calls a worker again and again, until Ctrl-C. The worker outlasts the calls, so that a function of
// RegisterFuncContext has the time to clean up.
func ExampleWorker() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	worker, err := doze.Start(context.Background())
	if err != nil {
		log.Fatalf("%+v", err)
	}
	defer worker.Close() // waits for the clean-up
	for range 3 {        // or for ever
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		rested, err := worker.Call(limited, time.Millisecond)
		cancel()
		fmt.Printf("%v %+v\n", rested, err)
		select {
		case <-ctx.Done():
			return
		case <-worker.Done():
			fmt.Printf("%+v\n", worker.Err()) // which tells where a function hung; another Start is due
			return
		case <-time.After(time.Millisecond):
		}
	}
	// Output:
	// true <nil>
	// true <nil>
	// true <nil>
}

func ExampleConcurrency() {
	ctx := context.Background()
	worker, err := doze.Start(ctx, reexec.Concurrency(8))
	if err != nil {
		log.Fatal(err)
	}
	defer worker.Close()
	start := time.Now()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := worker.Call(ctx, 500*time.Millisecond); err != nil {
				log.Fatal(err)
			}
		})
	}
	all.Wait()
	fmt.Println(time.Since(start) < 8*500*time.Millisecond)
	// Output: true
}

func ExampleRegisterFuncContext() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	rested, err := doze.Call(ctx, time.Hour)
	fmt.Println(rested, errors.Is(err, context.DeadlineExceeded))
	// Output: false true
}

func ExampleStream_Call() {
	for n, err := range count.Call(context.Background(), 1000000) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(n)
		if n == 3 {
			break // which ends the child
		}
	}
	// Output:
	// 1
	// 2
	// 3
}

func ExamplePanicError() {
	_, err := crash.Call(context.Background(), "out of cheese")
	var panicked *reexec.PanicError
	if errors.As(err, &panicked) {
		fmt.Println(panicked.Func, panicked.Value, len(panicked.Stack) > 0)
	}
	// Output: crash out of cheese true
}
