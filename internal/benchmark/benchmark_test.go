// Package benchmark compares package reexec with its original, with
// github.com/moby/sys/reexec, with what one would use otherwise, and with what could
// not be done any faster:
//
//	go -C internal/benchmark test -bench .
//
// The contenders take turns, in random order, so that a busy machine is as bad
// for all of them. Each of them is a program of its own, so that none pays for the
// start of another.
package benchmark

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"example.com/gons/reexec/internal/benchmark/driver"
)

// programs is where the contenders' programs are.
var programs string

// measured are the series of all benchmarks so far.
var measured []*series

func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	if programs, err = os.MkdirTemp("", "benchmark"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(programs)
	if err := build(programs, "./contenders/..."); err != nil {
		return 0, err
	}
	status = m.Run()
	report()
	return status, nil
}

func build(to, what string) error {
	output, err := exec.Command("go", "build", "-o", to+"/", what).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// A series is a contender and how it fares.
type series struct {
	what, who  string // what is done, and by whom
	program    string
	kind       string
	iterations int  // each time it is its turn; 0: 1
	atATime    int  // 0: 1
	units      int  // what is counted in each iteration, such as calls; 0: 1
	pinned     bool // parent and child have a processor each

	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder

	durations   []time.Duration
	allocations float64
	goroutines  float64
}

// start starts a process for this series alone, so that no other leaves any
// garbage to it.
func (s *series) start(tb testing.TB) {
	s.cmd = exec.Command(filepath.Join(programs, s.program))
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	start := s.cmd.Start
	if s.pinned {
		start = func() error {
			return driver.Pinned(func(env string) error {
				s.cmd.Env = append(os.Environ(), env)
				return s.cmd.Start()
			})
		}
	}
	if err := start(); err != nil {
		tb.Fatal(err)
	}
	s.in, s.out = in, json.NewDecoder(out)
	tb.Cleanup(func() {
		_ = in.Close()
		if err := s.cmd.Wait(); err != nil {
			tb.Error(s.name(), err)
		}
	})
}

func (s *series) name() string { return s.what + ": " + s.who }

func (s *series) ask(tb testing.TB) (answer driver.Answer) {
	request := driver.Request{Kind: s.kind, Iterations: max(s.iterations, 1), Concurrency: max(s.atATime, 1)}
	err := json.NewEncoder(s.in).Encode(request)
	if err == nil {
		err = s.out.Decode(&answer)
	}
	if err != nil || answer.Error != "" {
		tb.Fatal(s.name(), err, answer.Error)
	}
	return answer
}

// percentile returns the duration of a unit that so many percent do not exceed.
func (s *series) percentile(percent int) time.Duration {
	return s.durations[(len(s.durations)-1)*percent/100] / time.Duration(max(s.units, 1))
}

// compare measures all the series for as long as a benchmark lasts, and in a
// minimum of rounds.
func compare(b *testing.B, rounds int, all ...*series) {
	for _, s := range all {
		s.start(b)
		s.ask(b) // the first run is never as fast as the others
	}
	round := func() {
		for _, i := range rand.Perm(len(all)) {
			all[i].durations = append(all[i].durations, all[i].ask(b).Durations...)
		}
		rounds--
	}
	for b.Loop() {
		round()
	}
	for rounds > 0 {
		round()
	}
	b.ReportMetric(0, "ns/op") // of all the series taken together: leave that out
	for _, s := range all {
		if s.units == 0 {
			s.iterations = max(s.iterations, 10)
		}
		counted := s.ask(b)
		units := float64(max(s.units, 1))
		s.allocations, s.goroutines = counted.Allocations/units, counted.Goroutines/units
		slices.Sort(s.durations)
		measured = append(measured, s)
	}
}

// What is done, and by whom, as the table of figures has it.
const (
	ours, original, moby = "this package", "thediveo/gons", "moby/sys/reexec"
	theFloor             = "the same binary, doing nothing"

	oneAction   = "one action in a child of its own"
	oneFunction = "one function in a child of its own"
	inAll       = "one action in all namespaces of a process"
	atATime8    = "eight actions at a time"

	warm, pingPong = "call of a warm worker", "JSON to and fro over two pipes"

	inNet           = "one function in a network namespace"
	thread, nsenter = "a locked thread, setns", "nsenter"

	perCall                     = "calls of one worker, each on its processor"
	oneCaller, callers, sixteen = "1 caller", "16 callers", "16 callers, Concurrency(16)"

	perEvent, lines = "events of a stream, each on its processor", "JSON lines over a pipe"

	file       = "file of 100 MB out of a mount namespace"
	cp, direct = "cp /proc/PID/root/…", "read /proc/PID/root/…"

	content = "content of that file as a result"

	large, largeFunction = "8 MiB there and back, action", "8 MiB there and back, function"
	largeBytes, pipes    = "8 MiB of []byte there and back, warm worker", "bare writes and reads over two pipes"
	largeRows, onlyJSON  = "8 MiB of structs there and back, warm worker", "encoding/json alone"
)

func small() []*series {
	return []*series{
		{what: oneAction, who: ours, program: "ours", kind: "trivial"},
		{what: oneFunction, who: ours, program: "ours", kind: "call"},
		{what: oneAction, who: original, program: "original", kind: "trivial"},
		{what: oneAction, who: moby, program: "moby", kind: "trivial"},
		{what: oneAction, who: theFloor, program: "ours", kind: "floor"},
		{what: inAll, who: ours, program: "ours", kind: "inside"},
		{what: warm, who: ours, program: "ours", kind: "warm", iterations: 100},
		{what: warm, who: pingPong, program: "ours", kind: "ping-pong", iterations: 100},
	}
}

func many() []*series {
	return []*series{
		{what: atATime8, who: ours, program: "ours", kind: "trivial", atATime: 8},
		{what: "eight functions at a time", who: ours, program: "ours", kind: "call", atATime: 8},
		{what: atATime8, who: original, program: "original", kind: "trivial", atATime: 8},
		{what: atATime8, who: moby, program: "moby", kind: "trivial", atATime: 8},
		{what: atATime8, who: theFloor, program: "ours", kind: "floor", atATime: 8},
	}
}

func big() []*series {
	return []*series{
		{what: large, who: ours, program: "ours", kind: "echo"},
		{what: large, who: original, program: "original", kind: "echo"},
		{what: large, who: moby, program: "moby", kind: "echo"},
		{what: largeFunction, who: ours, program: "ours", kind: "call echo"},
		{what: largeBytes, who: ours, program: "ours", kind: "warm bytes"},
		{what: largeBytes, who: pipes, program: "ours", kind: "bytes"},
		{what: largeRows, who: ours, program: "ours", kind: "warm rows"},
		{what: largeRows, who: onlyJSON, program: "ours", kind: "json rows"},
	}
}

func calls() []*series {
	return []*series{
		{what: perCall, who: oneCaller, program: "ours", kind: "1 caller", units: driver.Calls, pinned: true},
		{what: perCall, who: callers, program: "ours", kind: "16 callers", units: driver.Calls, pinned: true},
		{what: perCall, who: sixteen, program: "ours", kind: "16 at a time", units: driver.Calls, pinned: true},
		{what: perCall, who: pingPong, program: "ours", kind: "ping-pong caller", units: driver.Calls, pinned: true},
	}
}

func events() []*series {
	return []*series{
		{what: perEvent, who: ours, program: "ours", kind: "events", units: driver.Events, pinned: true},
		{what: perEvent, who: lines, program: "ours", kind: "lines", units: driver.Events, pinned: true},
	}
}

func files() []*series {
	return []*series{
		{what: file, who: ours, program: "ours", kind: "file"},
		{what: content, who: ours, program: "ours", kind: "read"},
		{what: file, who: cp, program: "ours", kind: "cp"},
		{what: file, who: direct, program: "ours", kind: "direct"},
	}
}

func inside() []*series {
	all := []*series{
		{what: inNet, who: ours, program: "ours", kind: "net"},
		{what: inNet, who: ours + ", warm worker", program: "ours", kind: "warm net", iterations: 100},
		{what: inNet, who: nsenter, program: "ours", kind: "nsenter"},
	}
	if os.Geteuid() == 0 { // an ordinary user's thread cannot join any
		all = append(all, &series{what: inNet, who: thread, program: "ours", kind: "thread", iterations: 100})
	}
	return all
}

func BenchmarkSmall(b *testing.B)  { compare(b, 300, small()...) }
func BenchmarkMany(b *testing.B)   { compare(b, 60, many()...) }
func BenchmarkLarge(b *testing.B)  { compare(b, 30, big()...) }
func BenchmarkCalls(b *testing.B)  { compare(b, 30, calls()...) }
func BenchmarkEvents(b *testing.B) { compare(b, 15, events()...) }
func BenchmarkFile(b *testing.B)   { compare(b, 15, files()...) }
func BenchmarkInside(b *testing.B) { compare(b, 150, inside()...) }

// All programs understand what they are asked for, and do it.
func TestContenders(t *testing.T) {
	for _, s := range slices.Concat(small(), many(), big(), calls(), events(), files(), inside()) {
		t.Run(s.name(), func(t *testing.T) {
			s.start(t)
			s.iterations = 2
			if answer := s.ask(t); len(answer.Durations) != 2 || answer.Durations[0] <= 0 || answer.Allocations <= 0 {
				t.Errorf("unexpected answer: %v", answer)
			}
		})
	}
}

// BenchmarkBinarySize says by how much a program grows.
func BenchmarkBinarySize(b *testing.B) {
	dir := b.TempDir()
	if err := build(dir, "./size/..."); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
	}
	b.ReportMetric(0, "ns/op")
	for _, program := range []string{"nothing", "original", "ours"} {
		info, err := os.Stat(filepath.Join(dir, program))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/1e6, program+"-MB")
	}
}

// report prints what was measured, and how that compares with the targets.
func report() {
	if len(measured) == 0 {
		return
	}
	named := map[string]*series{}
	fmt.Print("\n| what | by | median | 10th percentile | per second | allocations | goroutines |\n|---|---|--:|--:|--:|--:|--:|\n")
	for _, s := range measured {
		named[s.name()] = s
		perSecond := ""
		if s.units > 0 {
			perSecond = fmt.Sprintf("%.3g", 1e9/float64(s.percentile(50)))
		}
		fmt.Printf("| %s | %s | %v | %v | %s | %.0f | %.0f |\n", s.what, s.who,
			rounded(s.percentile(50)), rounded(s.percentile(10)), perSecond, s.allocations, s.goroutines)
	}
	median := func(s *series) float64 { return float64(s.percentile(50)) }
	best := func(s *series) float64 { return float64(s.percentile(10)) }
	rate := func(s *series) float64 { return 1 / median(s) } // a second
	name := func(what, who string) string { return what + ": " + who }
	fmt.Print("\n| target | | is | |\n|---|--:|--:|---|\n")
	const atMost, atLeast = false, true
	for _, target := range []struct {
		of    func(*series) float64
		a, b  string
		least bool
		limit float64
	}{
		{median, name(oneAction, ours), name(oneAction, original), atMost, 1.05},
		{median, name(oneAction, ours), name(oneAction, theFloor), atMost, 1.05},
		{median, name(inAll, ours), name(oneAction, ours), atMost, 1.25},
		{median, name(oneFunction, ours), name(oneAction, ours), atMost, 1.05},
		// A warm call takes one of two times, depending on how its processes are woken
		// up, and a median may be either.
		{best, name(warm, ours), name(warm, pingPong), atMost, 1.2},
		{rate, name(perCall, sixteen), name(perCall, oneCaller), atLeast, 3},
		{rate, name(perEvent, ours), name(perEvent, lines), atLeast, 0.9},
		{median, name(file, ours), name(file, cp), atMost, 1.1},
		{median, name(content, ours), name(file, cp), atMost, 3},
		{median, name(largeBytes, ours), name(largeBytes, pipes), atMost, 1.5},
		{median, name(largeRows, ours), name(largeRows, onlyJSON), atMost, 0.5},
	} {
		a, b := named[target.a], named[target.b]
		if a == nil || b == nil {
			continue
		}
		is, limit, verdict := target.of(a)/target.of(b), "at most", "reached"
		missed := is > target.limit
		if target.least {
			limit, missed = "at least", is < target.limit
		}
		if missed {
			verdict = "missed"
		}
		fmt.Printf("| %s / %s | %s %.4g | %.4g | %s |\n", target.a, target.b, limit, target.limit, is, verdict)
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Printf("\nLoad in the last 1, 5 and 15 minutes, of which the benchmark is 1 to 2: %s", load)
	}
}

// rounded leaves out digits that mean nothing.
func rounded(d time.Duration) time.Duration {
	if d > time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(100 * time.Nanosecond)
}
