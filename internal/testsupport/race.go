//go:build race

package testsupport

// RaceEnabled tells whether this program was built with -race.
const RaceEnabled = true
