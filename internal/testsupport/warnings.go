package testsupport

import (
	"bytes"
	"slices"
	"strings"
)

// coverWarnings are what the runtime of an instrumented program writes to stderr when it ends, since GOCOVERDIR is not set, or
// nothing in the program counts. Those without a newline go on until the end of the line, and say that the runtime could
// not write the data, as on a full disk. An empty line may follow. The data is lost; that the action has failed would be wrong.
var coverWarnings = []string{
	"warning: GOCOVERDIR not set, no coverage data emitted\n",
	"program not built with -cover\n",
	"error: coverage meta-data prep failed: ",
	"error: coverage meta-data emit failed: ",
	"error: coverage counter data emit failed: ",
}

// raceWarning is what the race detector writes where /proc does not know its process, as in a mount namespace without the
// PID namespace that belongs to it.
const raceWarning = "==0==WARNING: reading executable name failed with errno 0, some stack frames may not be symbolized\n"

// warnings are what the runtimes of children of this program write to stderr, and what no caller wants to see. In them 0
// stands for any number.
var warnings = func() (all []string) {
	if Instrumented() {
		all = slices.Clip(coverWarnings)
	}
	if RaceEnabled {
		all = append(all, raceWarning)
	}
	return all
}

// maxWarning is more than any warning has bytes.
const maxWarning = 2 << 10

// Strip takes these warnings out of a part of stderr, which it overwrites. They may stand in the middle of a line, since the
// child need not have ended its last one. All else, and everything in a program that writes no warnings, stays as it is.
//
// The runtime writes a warning at once, and a pipe keeps so few bytes together (PIPE_BUF, pipe(7)). So a part ends within a
// warning only if it is cut, since it fills its buffer. Then held is what may be the beginning of a warning, less than
// 2 KiB: the next part continues it.
func Strip(b []byte, cut bool) (rest, held []byte) {
	warnings := warnings()
	if len(warnings) == 0 {
		return b, nil
	}
	rest = b[:0]
	for len(b) > 0 {
		n, more := 0, false
		for i := 0; i < len(warnings) && n == 0 && !more; i++ {
			n, more = match(b, warnings[i])
		}
		if more && cut && len(b) < maxWarning {
			return rest, b
		}
		if n == 0 {
			n, rest = 1, append(rest, b[0])
		}
		b = b[n:]
	}
	return rest, nil
}

// match returns how many bytes at the beginning of b are a warning, and whether more may belong to it.
func match(b []byte, warning string) (n int, more bool) {
	for _, c := range []byte(warning) {
		size := 0
		switch {
		case n == len(b):
			return 0, true
		case c == '0':
			size = len(b[n:]) - len(bytes.TrimLeft(b[n:], "0123456789"))
		case c == b[n]:
			size = 1
		}
		if size == 0 {
			return 0, false
		}
		n += size
	}
	if strings.HasSuffix(warning, "\n") {
		return n, false
	}
	_, after, _ := bytes.Cut(b[n:], []byte("\n"))
	if len(after) == 0 {
		return len(b), true
	}
	return len(b) - len(bytes.TrimPrefix(after, []byte("\n"))), false
}
