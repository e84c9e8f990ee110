package integration

import (
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/gomega"
	. "github.com/onsi/gomega/gleak"
)

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
		n, err := specs.StartNeighbour(t.TempDir(), "user", "net")
		if err != nil {
			t.Fatal(err)
		}
		defer n.End()
		neighbours[i] = &neighbour{n}
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
		if done := done.Load(); done != int64(times) {
			t.Errorf("done %d times instead of %d", done, times)
		}
		return time.Since(start)
	}
	visit := func(_, i int) error {
		n := neighbours[i%processes]
		ids, err := whereami.Call(background, struct{}{}, reexec.Namespaces(n.namespaces("!user", "!net")))
		if err == nil && ids["net"] != specs.NamespaceID(n.PID, "net") {
			err = fmt.Errorf("visit %d has been in namespace %s", i, ids["net"])
		}
		return err
	}

	inParallel(atOnce, atOnce, visit) // so that all that lasts is there
	goroutines, expectNoMoreFiles, memory := Goroutines(), specs.NoMoreFiles(), heap()
	took := inParallel(atOnce, visits, visit)
	t.Logf("figures: %d calls into %d processes' namespaces, %d at a time: %d/s", visits, processes, atOnce, perSecond(visits, took))
	Eventually(Goroutines, "30s").ShouldNot(HaveLeaked(goroutines))
	expectNoMoreFiles()
	Expect(heap()).To(BeNumerically("<", memory+4<<20))
	Expect(children()).To(HaveLen(processes))

	called := make([]*reexec.Worker[int, int], workers)
	for i := range called {
		w, err := double.Start(background, reexec.Namespaces(neighbours[i].namespaces("!user", "!net")))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		called[i] = w
	}
	call := func(worker, i int) error {
		n, err := called[worker].Call(background, i)
		if err == nil && n != 2*i {
			err = fmt.Errorf("call %d has the result %d", i, n)
		}
		return err
	}
	inParallel(workers, calls/100, call)
	working, files, memory := Goroutines(), openFiles(), heap()
	took = inParallel(workers, calls, call)
	t.Logf("figures: %d calls of %d workers: %d/s, %d files open, %d KiB in use, %d KiB before", calls, workers,
		perSecond(calls, took), openFiles(), heap()>>10, memory>>10)
	Expect(openFiles()).To(Equal(files))
	Eventually(Goroutines, "30s").ShouldNot(HaveLeaked(working))
	Expect(heap()).To(BeNumerically("<", memory+4<<20))
	for _, w := range called {
		Expect(w.Close()).To(Succeed())
	}
	Eventually(Goroutines, "30s").ShouldNot(HaveLeaked(goroutines))
	expectNoMoreFiles()
	Expect(children()).To(HaveLen(processes))
}

func perSecond(times int, took time.Duration) int { return int(float64(times) / took.Seconds()) }
