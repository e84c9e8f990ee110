//go:build !race

package testsupport

// raceWarnings are none without a race detector.
var raceWarnings []string
