package integration

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/gomega"
	. "github.com/onsi/gomega/gleak"
)

var soakFor = flag.Duration("soak", 0, "how long TestSoak lasts; it is skipped without")

// TestSoak mixes everything, from many goroutines, while somebody kills children
// at random. Then nothing is left of it:
//
//	go test -run Soak ./internal/integration -soak 10s
func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("needs the flag -soak")
	}
	RegisterTestingT(t)
	spared := map[int]bool{}
	namespaces := [][]reexec.Namespace{nil, nil}
	for _, kinds := range []string{"user mnt cgroup ipc net pid uts", "user net"} {
		if err := specs.Refusal(strings.Fields(kinds)...); err != nil {
			t.Skip("needs namespaces: ", err)
		}
		n := neighbour{must(specs.StartNeighbour(t.TempDir(), strings.Fields(kinds)...))}
		defer n.End()
		spared[n.PID] = true
		for _, bang := range []string{"", "!"} {
			namespaces = append(namespaces, n.namespaces(strings.Fields(bang+strings.ReplaceAll(kinds, " ", " "+bang))...))
		}
	}

	var runs atomic.Int64
	soak := func(d time.Duration) {
		ctx, stop := context.WithTimeout(background, d)
		defer stop()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for ; ctx.Err() == nil; runs.Add(1) {
					kind := rand.N(len(soakers))
					err := soakers[kind](reexec.Namespaces(namespaces[rand.N(len(namespaces))]))
					if err != nil && !wasKilled(err) {
						t.Errorf("soaker %d: %v", kind, err)
						stop()
					}
				}
			})
		}
		all.Go(func() { killAtRandom(ctx, spared) })
		all.Wait()
	}

	soak(*soakFor / 10) // so that all that lasts is there
	expectNoMore := nothingMore()
	soak(*soakFor)
	t.Log(runs.Load(), "runs")
	expectNoMore()
	Expect(children()).To(HaveLen(len(spared)))
	Eventually(strayThreads, "30s").Should(BeEmpty())
}

// nothingMore remembers what there is. What it returns expects no more goroutines, no more open files, and not much more memory in use.
func nothingMore() (expect func()) {
	goroutines, expectNoMoreFiles, memory := Goroutines(), specs.NoMoreFiles(), heap()
	return func() {
		Eventually(Goroutines, "30s").ShouldNot(HaveLeaked(goroutines))
		expectNoMoreFiles()
		Expect(heap()).To(BeNumerically("<", memory+4<<20))
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // finalizers have run now
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// killAtRandom kills children, but for those that are spared.
func killAtRandom(ctx context.Context, spared map[int]bool) {
	for ctx.Err() == nil {
		var victims []int
		for _, child := range children() {
			if pid := firstWord(child); !spared[pid] {
				victims = append(victims, pid)
			}
		}
		if len(victims) > 0 {
			// It is a zombie at the most, since only this process reaps it; but it may have been reaped just now.
			_ = syscall.Kill(victims[rand.N(len(victims))], syscall.SIGKILL)
		}
		time.Sleep(time.Duration(rand.N(20)) * time.Millisecond)
	}
}

// wasKilled tells whether an error is the work of killAtRandom.
func wasKilled(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status := exit.Sys().(syscall.WaitStatus)
	return status.Signaled() && status.Signal() == syscall.SIGKILL
}

// expected returns an error unless that is what it should be, or the work of killAtRandom.
func expected(err error, is bool) error {
	if is || wasKilled(err) {
		return nil
	}
	return fmt.Errorf("not what it should be: %w", err)
}

// equal returns the error of a run, or one that tells of a wrong result.
func equal[T comparable](result T, err error, want T) error {
	if err == nil && result != want {
		err = errors.New("wrong result")
	}
	return err
}

// soakers each do one thing, and return an error if that does not go as it should.
var soakers = []func(ns option) error{
	func(ns option) error { // classic
		answer, err := run[int]("echo", ns, reexec.Param(42))
		return equal(answer, err, 42)
	},
	func(ns option) error { // failing
		err := reexec.RunReexecAction("big failure", ns)
		var failed *reexec.ActionError
		return expected(err, errors.As(err, &failed) && failed.Stderr == bigFailure)
	},
	func(ns option) error { // huge
		large := strings.Repeat("x", 1<<20)
		result, err := reflect.Call(background, large, ns)
		return equal(result, err, large)
	},
	func(ns option) error { // endless
		return reexec.RunReexecAction("noise", ns, reexec.Stderr(&bytes.Buffer{}))
	},
	func(ns option) error { // cancelled
		ctx := within(time.Duration(rand.N(20))*time.Millisecond, errEnough)
		_, err := hang.Call(ctx, "hang", ns, silently)
		return expected(err, errors.Is(err, errEnough))
	},
	func(ns option) error { // panicking
		_, err := panicking.Call(background, "at the disco", ns)
		return expected(err, errors.As(err, new(*reexec.PanicError)))
	},
	func(ns option) error { // dying
		_, err := exit.Call(background, 3, ns, silently)
		return expected(err, exitCode(err) == 3)
	},
	func(ns option) error { // lingering
		_, err := run[string]("linger", ns, ofGrace(0))
		return err
	},
	func(ns option) error { // worker
		w, err := double.Start(background, ns)
		if err != nil {
			return err
		}
		var all sync.WaitGroup
		failures := make(chan error, 80)
		for i := range 4 {
			all.Go(func() {
				for j := range 20 {
					n, err := w.Call(background, i*j)
					if err = equal(n, err, 2*i*j); err != nil {
						failures <- err
					}
				}
			})
		}
		if rand.N(4) > 0 {
			all.Wait()
		}
		err = w.Close()
		all.Wait()
		close(failures)
		for failure := range failures {
			if !errors.Is(failure, os.ErrClosed) && !wasKilled(failure) {
				return failure
			}
		}
		return err
	},
	func(ns option) (err error) { // exploding
		defer func() {
			if value := recover(); value != nil && value != "at the decoder" {
				err = fmt.Errorf("wrong panic %v", value)
			}
		}()
		_, err = explode.Call(background, "panic", ns)
		return err
	},
	func(ns option) (err error) { // exploding in a worker
		w, err := explode.Start(background, ns)
		if err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() {
			left := errors.New("")
			defer func() { done <- left }()
			_, left = w.Call(background, "goexit")
		}()
		if err := <-done; err != nil && err.Error() != "" && !wasKilled(err) {
			return err
		}
		_ = w.Close()
		return nil
	},
	func(ns option) error { // without a newline
		answer, err := run[float64]("print", ns, reexec.Param("42"))
		return equal(answer, err, 42)
	},
	func(ns option) error { // blocked
		ctx := within(time.Duration(rand.N(20))*time.Millisecond, errEnough)
		release := make(chan struct{})
		defer close(release)
		var held atomic.Bool
		_, err := say.Call(ctx, 1, ns, onStderr(func(string) {
			select {
			case <-release:
			case <-time.After(moment): // the call should have returned long ago
				held.Store(true)
			}
		}))
		if held.Load() {
			return errors.New("held up by the writer of stderr")
		}
		return expected(err, err == nil || errors.Is(err, errEnough)) // an answer that has come in time counts
	},
	func(ns option) error { // what a call has written
		var heard safeBuffer
		w, err := say.Start(background, ns, reexec.Stderr(&heard))
		if err != nil {
			return err
		}
		for i := range 20 {
			if _, err = w.Call(background, 10); err != nil {
				break
			}
			if heard.Len() != 10*(i+1) {
				err = errors.New("call returned too early")
				break
			}
		}
		return errors.Join(err, w.Close())
	},
}

var scale = flag.Bool("scale", false, "run TestScale, which is skipped without")

// TestScale visits many processes, and calls workers many times. Nothing is lost, and
// nothing grows:
//
//	go test -run Scale ./internal/integration -scale -v
func TestScale(t *testing.T) {
	const processes, visits, atOnce, workers, calls = 200, 1000, 64, 64, 1_000_000
	if !*scale {
		t.Skip("needs the flag -scale")
	}
	RegisterTestingT(t)
	if err := specs.Refusal("user", "net"); err != nil {
		t.Skip("needs namespaces: ", err)
	}
	neighbours := make([]*neighbour, processes)
	for i := range neighbours {
		neighbours[i] = &neighbour{must(specs.StartNeighbour(t.TempDir(), "user", "net"))}
		defer neighbours[i].End()
	}

	// inParallel does something so many times, and returns how long that takes.
	inParallel := func(goroutines, times int, do func(goroutine, i int) error) time.Duration {
		start := time.Now()
		var next, done atomic.Int64
		var all sync.WaitGroup
		for goroutine := range goroutines {
			all.Go(func() {
				for i := next.Add(1) - 1; i < int64(times); i = next.Add(1) - 1 {
					if err := do(goroutine, int(i)); err != nil {
						t.Error(err)
						return
					}
					done.Add(1)
				}
			})
		}
		all.Wait()
		Expect(done.Load()).To(BeEquivalentTo(times))
		return time.Since(start)
	}
	visit := func(_, i int) error {
		n := neighbours[i%processes]
		ids, err := whereami.Call(background, struct{}{}, n.in("!user", "!net"))
		if err == nil && ids["net"] != specs.NamespaceID(n.PID, "net") {
			err = fmt.Errorf("visit %d has been in namespace %s", i, ids["net"])
		}
		return err
	}

	inParallel(atOnce, atOnce, visit) // so that all that lasts is there
	expectNoMore := nothingMore()
	took := inParallel(atOnce, visits, visit)
	t.Logf("figures: %d calls into %d processes' namespaces, %d at a time: %d/s", visits, processes, atOnce, perSecond(visits, took))
	expectNoMore()
	Expect(children()).To(HaveLen(processes))

	called := make([]*reexec.Worker[int, int], workers)
	for i := range called {
		called[i] = must(double.Start(background, neighbours[i].in("!user", "!net")))
		defer called[i].Close()
	}
	call := func(worker, i int) error {
		n, err := called[worker].Call(background, i)
		if err == nil && n != 2*i {
			err = fmt.Errorf("call %d has the result %d", i, n)
		}
		return err
	}
	inParallel(workers, calls/100, call)
	expectNoMoreAtWork, files, memory := nothingMore(), openFiles(), heap()
	took = inParallel(workers, calls, call)
	t.Logf("figures: %d calls of %d workers: %d/s, %d files open, %d KiB in use, %d KiB before", calls, workers,
		perSecond(calls, took), openFiles(), heap()>>10, memory>>10)
	Expect(openFiles()).To(Equal(files))
	expectNoMoreAtWork()
	for _, w := range called {
		Expect(w.Close()).To(Succeed())
	}
	expectNoMore()
	Expect(children()).To(HaveLen(processes))
}

func perSecond(times int, took time.Duration) int { return int(float64(times) / took.Seconds()) }

var bare = flag.Bool("bare", false, "run TestBare, which is skipped without")

// TestBare is for a root folder with nothing in it but the test binary, linked statically, where
// no spec could even begin. All ways to start a child are errors that say what is missing, and return.
// But where there is /proc, they work without anything else:
//
//	chroot folder /integration.test -test.run Bare -bare
func TestBare(t *testing.T) {
	if !*bare {
		t.Skip("needs the flag -bare")
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		for _, way := range waysIn {
			if err := way.run(); err != nil {
				t.Errorf("%s: %v", way.name, err)
			}
			if err := way.run(reexec.Unshare("net")); err != nil {
				t.Errorf("%s in new namespaces: %v", way.name, err)
			}
		}
		return
	}
	for _, way := range waysIn {
		for _, namespaces := range [][]reexec.Namespace{nil, {{Type: "!net", Path: "/proc/self/ns/net"}}} {
			err := way.run(reexec.Namespaces(namespaces))
			if err == nil || !strings.Contains(err.Error(), "cannot start child, reason: fork/exec /proc/self/exe: no such file or directory") {
				t.Errorf("%s in %v: %v", way.name, namespaces, err)
			}
		}
	}
	if namespaces, err := reexec.NamespacesOf(1); err == nil {
		t.Errorf("found %v", namespaces)
	}
}
