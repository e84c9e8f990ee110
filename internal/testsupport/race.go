//go:build race

package testsupport

// RaceEnabled tells whether this program was built with -race.
const RaceEnabled = true

// raceWarnings are what the race detector writes to stderr where /proc does not know its process, as in a mount
// namespace without the PID namespace that belongs to it.
var raceWarnings = []string{
	"==0==WARNING: reading executable name failed with errno 0, some stack frames may not be symbolized\n",
}
