//go:build race

package reexec

// raceEnabled tells whether this program was built with -race.
const raceEnabled = true
