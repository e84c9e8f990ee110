package testsupport

import "bytes"

// What the runtime of an instrumented program writes to stderr when it ends, since GOCOVERDIR is not set, or nothing in the
// program counts; and the beginnings of what it writes if it cannot write the data, as on a full disk. The data is lost; that the
// action has failed would be wrong.
var (
	coverWarnings = []string{"warning: GOCOVERDIR not set, no coverage data emitted\n", "program not built with -cover\n"}
	coverErrors   = []string{
		"error: coverage meta-data prep failed: ",
		"error: coverage meta-data emit failed: ",
		"error: coverage counter data emit failed: ",
	}
)

// raceWarning is how what the race detector writes begins, after the number of the process, where /proc does not know that, as in a mount
// namespace without the PID namespace that belongs to it.
const raceWarning = "WARNING: reading executable name failed with errno "

// PartSize is how many bytes are to be read at a time, so that Strip finds all warnings: where there may be some, as many as
// a pipe holds. The runtime writes a warning at once, and a pipe keeps so few bytes together (PIPE_BUF, pipe(7)).
func PartSize() int {
	if RaceEnabled || Instrumented() {
		return 64 << 10
	}
	return 4 << 10
}

// Strip takes these warnings out of a part of stderr, which it overwrites: no caller wants to see them. They may stand in the middle of
// a line, since the child need not have ended its last one. All else, and everything in a program that writes no warnings,
// stays as it is.
func Strip(b []byte) []byte {
	if Instrumented() {
		b = stripCoverage(b)
	}
	if RaceEnabled {
		b = stripLines(b, raceWarning)
	}
	return b
}

func stripCoverage(b []byte) []byte {
	for _, warning := range coverWarnings {
		if bytes.Contains(b, []byte(warning)) { // or else it would be a copy
			b = bytes.ReplaceAll(b, []byte(warning), nil)
		}
	}
	for _, beginning := range coverErrors {
		b = stripLines(b, beginning)
	}
	return b
}

// stripLines takes out what begins with these words, as far as its line goes, and a number of a process before it ("==42=="), or
// an empty line behind it.
func stripLines(b []byte, beginning string) []byte {
	for {
		before, line, found := bytes.Cut(b, []byte(beginning))
		if !found {
			return b
		}
		_, after, _ := bytes.Cut(line, []byte("\n"))
		if head, marked := bytes.CutSuffix(before, []byte("==")); marked {
			before = bytes.TrimSuffix(bytes.TrimRight(head, "0123456789"), []byte("=="))
		}
		b = append(before, bytes.TrimPrefix(after, []byte("\n"))...)
	}
}
