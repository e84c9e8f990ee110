// Package benchmark compares package reexec with its original, with
// github.com/moby/sys/reexec, and with what could not be done any faster:
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
	"math"
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
	name       string
	program    string
	kind       string
	iterations int // each time it is its turn
	atATime    int

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
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	s.in, s.out = in, json.NewDecoder(out)
	tb.Cleanup(func() {
		_ = in.Close()
		if err := s.cmd.Wait(); err != nil {
			tb.Error(s.name, err)
		}
	})
}

func (s *series) ask(tb testing.TB) (answer driver.Answer) {
	request := driver.Request{Kind: s.kind, Iterations: s.iterations, Concurrency: s.atATime}
	err := json.NewEncoder(s.in).Encode(request)
	if err == nil {
		err = s.out.Decode(&answer)
	}
	if err != nil || answer.Error != "" {
		tb.Fatal(s.name, err, answer.Error)
	}
	return answer
}

// percentile returns the duration that so many percent do not exceed.
func (s *series) percentile(percent int) time.Duration {
	return s.durations[(len(s.durations)-1)*percent/100]
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
		s.iterations = max(s.iterations, 10)
		counted := s.ask(b)
		s.allocations, s.goroutines = counted.Allocations, counted.Goroutines
		slices.Sort(s.durations)
		measured = append(measured, s)
	}
}

// The names of those series that are compared by the targets.
const (
	oneShot, typedOneShot, warm, pingPong = "one-shot, ours", "one-shot, Func.Call", "warm call, Worker.Call", "warm call, bare ping-pong"
	oneShotOriginal, oneShotFloor         = "one-shot, original", "one-shot, floor"
	oneShotInside                         = "one-shot, ours, in all namespaces of a process"
	eight, eightOriginal                  = "eight at a time, ours", "eight at a time, original"
	large, largeOriginal                  = "8 MiB, ours", "8 MiB, original"
	largeWarm, largeCold, largeJSON       = "8 MiB, Worker.Call", "8 MiB, Func.Call", "8 MiB, encoding/json alone"
)

func small() []*series {
	return []*series{
		{name: oneShot, program: "ours", kind: "trivial", iterations: 1, atATime: 1},
		{name: typedOneShot, program: "ours", kind: "call", iterations: 1, atATime: 1},
		{name: oneShotOriginal, program: "original", kind: "trivial", iterations: 1, atATime: 1},
		{name: "one-shot, moby", program: "moby", kind: "trivial", iterations: 1, atATime: 1},
		{name: oneShotFloor, program: "ours", kind: "floor", iterations: 1, atATime: 1},
		{name: oneShotInside, program: "ours", kind: "inside", iterations: 1, atATime: 1},
		{name: warm, program: "ours", kind: "warm", iterations: 100, atATime: 1},
		{name: pingPong, program: "ours", kind: "ping-pong", iterations: 100, atATime: 1},
	}
}

func many() []*series {
	return []*series{
		{name: eight, program: "ours", kind: "trivial", iterations: 1, atATime: 8},
		{name: "eight at a time, Func.Call", program: "ours", kind: "call", iterations: 1, atATime: 8},
		{name: eightOriginal, program: "original", kind: "trivial", iterations: 1, atATime: 8},
		{name: "eight at a time, moby", program: "moby", kind: "trivial", iterations: 1, atATime: 8},
		{name: "eight at a time, floor", program: "ours", kind: "floor", iterations: 1, atATime: 8},
	}
}

func big() []*series {
	return []*series{
		{name: large, program: "ours", kind: "echo", iterations: 1, atATime: 1},
		{name: largeOriginal, program: "original", kind: "echo", iterations: 1, atATime: 1},
		{name: "8 MiB, moby", program: "moby", kind: "echo", iterations: 1, atATime: 1},
		{name: largeCold, program: "ours", kind: "call echo", iterations: 1, atATime: 1},
		{name: largeWarm, program: "ours", kind: "warm echo", iterations: 1, atATime: 1},
		{name: largeJSON, program: "ours", kind: "json", iterations: 1, atATime: 1},
	}
}

func BenchmarkSmall(b *testing.B) { compare(b, 300, small()...) }
func BenchmarkMany(b *testing.B)  { compare(b, 60, many()...) }
func BenchmarkLarge(b *testing.B) { compare(b, 30, big()...) }

// All programs understand what they are asked for, and do it.
func TestContenders(t *testing.T) {
	for _, s := range slices.Concat(small(), many(), big()) {
		s.start(t)
		s.iterations = 2
		if answer := s.ask(t); len(answer.Durations) != 2 || answer.Durations[0] <= 0 || answer.Allocations <= 0 {
			t.Errorf("%s: unexpected answer: %v", s.name, answer)
		}
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
	fmt.Print("\n| what | median | 10th percentile | allocations | goroutines |\n|---|--:|--:|--:|--:|\n")
	for _, s := range measured {
		named[s.name] = s
		fmt.Printf("| %s | %v | %v | %.0f | %.0f |\n", s.name,
			rounded(s.percentile(50)), rounded(s.percentile(10)), s.allocations, s.goroutines)
	}
	median := func(s *series) float64 { return float64(s.percentile(50)) }
	best := func(s *series) float64 { return float64(s.percentile(10)) }
	allocations := func(s *series) float64 { return math.Round(s.allocations) }
	goroutines := func(s *series) float64 { return math.Round(s.goroutines) }
	fmt.Print("\n| target | at most | is | |\n|---|--:|--:|---|\n")
	for _, target := range []struct {
		what  string
		of    func(*series) float64
		a, b  string
		limit float64
	}{
		{"time", median, oneShot, oneShotOriginal, 1.03},
		{"time", median, oneShot, oneShotFloor, 1.05},
		{"time", median, oneShotInside, oneShot, 1.25},
		{"time", median, typedOneShot, oneShot, 1.05},
		// A warm call takes one of two times, depending on how its processes are woken
		// up, and a median may be either.
		{"10th percentile of time", best, warm, oneShotOriginal, 1. / 250},
		{"10th percentile of time", best, warm, pingPong, 1.25},
		{"time", median, largeWarm, largeJSON, 1.3},
		{"time", median, largeCold, largeJSON, 1.7},
		{"allocations", allocations, oneShot, oneShotOriginal, 1},
		{"goroutines", goroutines, oneShot, oneShotOriginal, 1},
		{"allocations", allocations, eight, eightOriginal, 1},
		{"goroutines", goroutines, eight, eightOriginal, 1},
		{"allocations", allocations, large, largeOriginal, 1},
		{"goroutines", goroutines, large, largeOriginal, 1},
	} {
		a, b := named[target.a], named[target.b]
		if a == nil || b == nil {
			continue
		}
		is, verdict := target.of(a)/target.of(b), "reached"
		if is > target.limit {
			verdict = "missed"
		}
		fmt.Printf("| %s: %s / %s | %.4g | %.4g | %s |\n", target.what, target.a, target.b, target.limit, is, verdict)
	}
}

// rounded leaves out digits that mean nothing.
func rounded(d time.Duration) time.Duration {
	if d > time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(100 * time.Nanosecond)
}
