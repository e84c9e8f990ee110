//go:build !race

package testsupport

// RaceEnabled tells whether this program was built with -race.
const RaceEnabled = false

// raceWarnings are none without a race detector.
var raceWarnings []string
