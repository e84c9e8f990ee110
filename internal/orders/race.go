//go:build race

package orders

// raceEnabled tells whether this program was built with -race.
const raceEnabled = true
