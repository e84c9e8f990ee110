package testsupport

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"sync"
)

// raceStatus is the exit status of a process in which the race detector has found a data race.
const raceStatus = 66

var (
	racyMu sync.Mutex
	racy   []string // actions whose children have raced
)

// Explain returns the status of a child that has run an action. If that says that there was a data race, the error does so, too,
// and package testing gets to know of it, whether the error is looked at or not.
func Explain(action string, status error) error {
	var exit *exec.ExitError
	if !RaceEnabled || !errors.As(status, &exit) || exit.ExitCode() != raceStatus {
		return status
	}
	addRacy(action)
	return fmt.Errorf("%w (the race detector has reported a data race)", status)
}

// Hear looks for the report of a data race in a part of what a child that runs an action writes to stderr: a child that is killed
// has no status that tells. The detector writes these words at once.
func Hear(action string, stderr []byte) {
	if RaceEnabled && bytes.Contains(stderr, []byte("WARNING: DATA RACE")) {
		addRacy(action)
	}
}

func addRacy(action string) {
	racyMu.Lock()
	defer racyMu.Unlock()
	if !slices.Contains(racy, action) {
		racy = append(racy, action)
	}
}

// Racy returns the actions whose children have had a data race so far.
func Racy() []string {
	racyMu.Lock()
	defer racyMu.Unlock()
	return slices.Clone(racy)
}
