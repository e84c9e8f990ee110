package serve

import (
	"runtime/debug"
	"sync"
)

// A pausedGC pauses garbage collection while large parameters are read and decoded: the
// heap of a fresh child is so small that it would be collected over and over, which takes
// longer than all the rest (an 8 MiB call: 2.2 to 1.4 times encoding/json alone). A
// memory limit (GOMEMLIMIT) still holds.
type pausedGC struct {
	mu      sync.Mutex
	pauses  int
	percent int
}

const largeParam = 1 << 20 // bytes

func (gc *pausedGC) pauseFor(length uint64) {
	if length <= largeParam {
		return
	}
	gc.mu.Lock()
	defer gc.mu.Unlock()
	if gc.pauses++; gc.pauses == 1 {
		gc.percent = debug.SetGCPercent(-1)
	}
}

func (gc *pausedGC) resumeAfter(length uint64) {
	if length <= largeParam {
		return
	}
	gc.mu.Lock()
	defer gc.mu.Unlock()
	if gc.pauses--; gc.pauses == 0 {
		debug.SetGCPercent(gc.percent)
	}
}
