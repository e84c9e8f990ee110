package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// zombies counts the zombies in a PID namespace of one's own.
func zombies() (count int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if stat, _ := os.ReadFile(path); strings.Contains(string(stat), ") Z ") {
			count++
		}
	}
	return count
}

// becomes waits until there are so many zombies, or returns an error.
func becomes(number int) error {
	for range 1000 {
		if zombies() == number {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%d zombies instead of %d", zombies(), number)
}

// leaveOrphans makes orphans that end, of which some are zombies before, and waits until there are no zombies.
func leaveOrphans() error {
	for range 25 {
		if out, err := exec.Command("/bin/sh", "-c", "true & sleep 0.01 & exec sleep 0.005").CombinedOutput(); err != nil {
			return fmt.Errorf("%s, %w", out, err)
		}
	}
	return becomes(0)
}

// reapLater starts processes in each way, waits until they are zombies, and then for each.
func reapLater() error {
	var all sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		all.Go(func() {
			cmd := exec.Command("/bin/sh", "-c", "exit 7")
			started := cmd.Start()
			time.Sleep(100 * time.Millisecond)
			if err := cmd.Wait(); fmt.Sprint(err) != "exit status 7" {
				errs[i] = fmt.Errorf("os/exec: %v, %w", started, err)
			}
		})
	}
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "(true &) ; exit 7"}, nil)
	if err != nil {
		return err
	}
	all.Wait()
	if err := errors.Join(append(errs, becomes(1))...); err != nil {
		return err
	}
	var status syscall.WaitStatus
	if _, err = syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 7 {
		return fmt.Errorf("wait4: %v, %w", status, err)
	}
	return nil
}

var startsProcesses = reexec.RegisterFunc("start processes", func(way string) (struct{}, error) {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return struct{}{}, err
	}
	if way == "orphans" {
		return struct{}{}, leaveOrphans()
	}
	return struct{}{}, reapLater()
})

var _ = Describe("the first process of a PID namespace", func() {
	anew := reexec.Unshare("user", "pid", "mnt")

	BeforeEach(func() { specs.NeedsNamespaces("user", "pid", "mnt") })

	// both has a function called in each way, at the same time, since it waits for processes.
	both := func(what string) {
		GinkgoHelper()
		ways := ways[string, struct{}]()
		together(len(ways), func(i int) error { return errorOf(ways[i](startsProcesses, what, anew)) })
	}

	It("reaps orphans", func() { both("orphans") })

	It("leaves alone what the function has started", func() { both("own") })

	It("ends as others do", func() {
		Expect(double.Call(background, 21, anew)).To(Equal(42))
		Expect(run[string]("answer", anew)).To(Equal("done"))
	})
})
