//go:build !race

package testsupport

const raceEnabled = false

// raceWarnings are none without a race detector.
var raceWarnings []string
