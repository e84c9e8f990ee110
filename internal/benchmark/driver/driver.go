// Package driver is what the contenders' programs have in common: they are told
// over stdin what to run how often, and tell over stdout how long that took.
package driver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Request asks for runs of one kind, a line of JSON on a driver's stdin.
type Request struct {
	Kind        string
	Iterations  int
	Concurrency int // runs at a time, which are measured together
}

// An Answer is a line of JSON on a driver's stdout.
type Answer struct {
	Durations   []time.Duration // of each iteration
	Allocations float64         // per run, by the process that starts the children
	Goroutines  float64         // started per run
	Error       string
}

// Kinds are the runs that a driver offers, by name.
type Kinds map[string]func() error

// Serve answers requests until the end of stdin.
func Serve(kinds Kinds) {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var request Request
		if in.Decode(&request) != nil {
			return
		}
		var answer Answer
		if err := answer.measure(kinds[request.Kind], request); err != nil {
			answer.Error = err.Error()
		}
		if out.Encode(answer) != nil {
			return
		}
	}
}

func (a *Answer) measure(run func() error, request Request) error {
	if run == nil {
		return fmt.Errorf("no runs of kind %q", request.Kind)
	}
	a.Durations = make([]time.Duration, request.Iterations)
	allocations, goroutines := counts()
	for i := range a.Durations {
		start := time.Now()
		if err := atATime(request.Concurrency, run); err != nil {
			return err
		}
		a.Durations[i] = time.Since(start)
	}
	nowAllocations, nowGoroutines := counts()
	runs := float64(request.Iterations * request.Concurrency)
	a.Allocations = (nowAllocations - allocations) / runs
	a.Goroutines = (nowGoroutines - goroutines) / runs
	if request.Concurrency > 1 {
		a.Goroutines-- // that of the run itself
	}
	return nil
}

func atATime(n int, run func() error) error {
	if n == 1 {
		return run()
	}
	errs := make(chan error)
	for range n {
		go func() { errs <- run() }()
	}
	var failed error
	for range n {
		if err := <-errs; err != nil {
			failed = err
		}
	}
	return failed
}

// counts returns how many allocations and goroutines there have been so far.
func counts() (allocations, goroutines float64) {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	created := []metrics.Sample{{Name: "/sched/goroutines-created:goroutines"}}
	metrics.Read(created)
	if created[0].Value.Kind() == metrics.KindUint64 { // not before Go 1.26
		goroutines = float64(created[0].Value.Uint64())
	}
	return float64(memory.Mallocs), goroutines
}

// Done is the answer of a trivial action.
const Done = "done"

// Trivial is an action that just answers.
func Trivial() { fmt.Println(`"` + Done + `"`) }

// Large is a parameter of 8 MiB. It is not made before it is wanted, since
// otherwise each and every child would make it.
var Large = sync.OnceValue(func() string { return strings.Repeat("0123456789abcdef", 8<<20/16) })

// Echo is an action that answers its parameter.
func Echo() {
	var param string
	if err := json.NewDecoder(os.Stdin).Decode(&param); err != nil {
		panic(err)
	}
	_ = json.NewEncoder(os.Stdout).Encode(param)
}

// Check returns an error if a run has failed, or its result is not as it should.
func Check(result, want string, err error) error {
	if err == nil && result != want {
		err = fmt.Errorf("unexpected result of %d bytes", len(result))
	}
	return err
}

// JSON is what no exchange of a large parameter and a large result over pipes
// can do without.
func JSON() error {
	value := Large()
	for range 2 {
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, &value); err != nil {
			return err
		}
	}
	return nil
}

// AloneVar, if set, says what a child does that has nothing to do with any
// contender.
const AloneVar = "BENCHMARK_ALONE"

// Alone has to come first in main. It plays the child of Floor and PingPong, and
// the Neighbour.
func Alone() {
	switch os.Getenv(AloneVar) {
	case "exit":
		os.Exit(0)
	case "stay":
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the driver ends
		os.Exit(0)
	case "pong":
		in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
		for {
			var param struct{}
			if in.Decode(&param) != nil {
				os.Exit(0)
			}
			_ = out.Encode(Done)
		}
	}
}

func alone(what string) *exec.Cmd {
	return &exec.Cmd{Path: "/proc/self/exe", Args: os.Args[:1], Env: append(os.Environ(), AloneVar+"="+what)}
}

// Floor starts this program to do nothing, and reads what it does not write.
func Floor() error {
	var stdout, stderr bytes.Buffer
	cmd := alone("exit")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	return cmd.Run()
}

// Neighbour starts a process to be visited, as an ordinary user can: one that is root
// of a new user namespace, and in new namespaces of all types that belong to it. It
// ends with this program.
func Neighbour() (pid int, err error) {
	cmd := alone("stay")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWCGROUP | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	if neighbourStays, err = cmd.StdinPipe(); err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("cannot start a process in new namespaces: %w", err)
	}
	return cmd.Process.Pid, nil
}

// neighbourStays is open for as long as the Neighbour is to stay.
var neighbourStays io.Closer

// PingPong sends a child, the same one each time, JSON and receives JSON.
func PingPong() error { return pingPong()() }

var pingPong = sync.OnceValue(func() func() error {
	cmd := alone("pong")
	stdin, err := cmd.StdinPipe()
	var stdout io.Reader
	if err == nil {
		stdout, err = cmd.StdoutPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return func() error { return err }
	}
	in, out := json.NewDecoder(stdout), json.NewEncoder(stdin)
	return func() error {
		if err := out.Encode(struct{}{}); err != nil {
			return err
		}
		var result string
		err := in.Decode(&result)
		return Check(result, Done, err)
	}
})
