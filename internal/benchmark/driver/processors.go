package driver

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Where parent and child run, on one processor or on two, which share a cache or not,
// the kernel decides anew each time, and that alone changes by four how many calls there are in a
// second. So it is said to it.

// elsewhereVar is the number of the processor that children are for.
const elsewhereVar = "BENCHMARK_ELSEWHERE"

// Pinned returns the environment of a program that runs on one processor, and its children,
// Elsewhere, on another one. Function start starts it.
func Pinned(start func(env string) error) error {
	first, last := -1, -1
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return err
	}
	for n := range len(allowed) * 64 {
		if allowed.IsSet(n) {
			if last = n; first < 0 {
				first = n
			}
		}
	}
	restore := on(first)
	defer restore()
	return start(elsewhereVar + "=" + strconv.Itoa(last))
}

// Elsewhere has the children that the calling goroutine starts until restore run on
// another processor, if this program is pinned to one.
func Elsewhere() (restore func()) {
	n, err := strconv.Atoi(os.Getenv(elsewhereVar))
	if err != nil {
		return func() {}
	}
	return on(n)
}

// on pins the calling goroutine, and what it starts, to a processor.
func on(n int) (restore func()) {
	runtime.LockOSThread()
	var before, one unix.CPUSet
	one.Set(n)
	_ = unix.SchedGetaffinity(0, &before)
	_ = unix.SchedSetaffinity(0, &one)
	return func() {
		_ = unix.SchedSetaffinity(0, &before)
		runtime.UnlockOSThread()
	}
}
