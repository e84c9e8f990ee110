package birth

import (
	"encoding/binary"
	"os"
	"strconv"
	"sync"
)

// The Go runtime tells of AT_SECURE (getauxval(3)) by setting this variable in such a program, whatever it was before
// (package runtime, Security). /proc/self/auxv tells it, too, but not to a process that is not dumpable, or has no /proc.
const tracebackVar, tracebackSecure = "GOTRACEBACK", "none"

// maySecure is true in a set-user-ID program, and in one that was started with this value.
var maySecure = os.Getenv(tracebackVar) == tracebackSecure

// cannotObey returns errSecure in a set-user-ID program, or one with file capabilities, where the
// constructor has not seen to that.
//
// Two mistakes remain. A program that is started with GOTRACEBACK=none is taken for such a one if it cannot read
// /proc/self/auxv, and so is refused. And one whose own initialisers, ahead of this package's, set the
// variable to something else is not recognised.
var cannotObey = sync.OnceValue(func() error {
	if !maySecure {
		return nil
	}
	const atSecure = 23
	auxv, err := os.ReadFile("/proc/self/auxv")
	if err != nil { // as it is in such programs, which are not dumpable
		return errSecure
	}
	word := strconv.IntSize / 8
	number := func(b []byte) uint64 {
		if word == 4 {
			return uint64(binary.NativeEndian.Uint32(b))
		}
		return binary.NativeEndian.Uint64(b)
	}
	for ; len(auxv) >= 2*word; auxv = auxv[2*word:] {
		if number(auxv) == atSecure && number(auxv[word:]) != 0 {
			return errSecure
		}
	}
	return nil
})
