// Package driver is what the contenders' programs have in common: they are told
// over stdin what to run how often, and tell over stdout how long that took.
package driver

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
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

// LargeBytes are as many bytes.
var LargeBytes = sync.OnceValue(func() []byte { return []byte(Large()) })

// CheckBytes returns an error if a run has failed, or its result is not of this length.
func CheckBytes(result []byte, length int, err error) error {
	if err == nil && len(result) != length {
		err = fmt.Errorf("%d bytes instead of %d", len(result), length)
	}
	return err
}

// A Row is an entry of a directory.
type Row struct {
	Name  string
	Size  int64
	Mode  uint32
	Dir   bool
	Owner struct{ User, Group int }
	Links []string
}

// Rows are 8 MiB of structs, as JSON counts.
var Rows = sync.OnceValue(func() (rows []Row) {
	for i := range 70_000 {
		row := Row{Name: fmt.Sprintf("some-file-%d.txt", i), Size: int64(i) * 1000, Mode: 0o644, Links: []string{"a", "another link"}}
		row.Owner.User, row.Owner.Group = 1000, 1000
		rows = append(rows, row)
	}
	return rows
})

// CheckRows returns an error if a run has failed, or its result is not Rows.
func CheckRows(result []Row, err error) error {
	if err == nil && (len(result) != len(Rows()) || result[1].Name != Rows()[1].Name) {
		err = fmt.Errorf("unexpected result of %d rows", len(result))
	}
	return err
}

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

// RowsJSON is what an exchange of structs as JSON cannot do without.
func RowsJSON() error {
	value := Rows()
	for range 2 {
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		value = nil
		if err := json.Unmarshal(data, &value); err != nil {
			return err
		}
	}
	return CheckRows(value, nil)
}
