//go:build race

package child

// raceEnabled tells whether this program was built with -race.
const raceEnabled = true
