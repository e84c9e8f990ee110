package birth

import (
	"encoding/binary"
	"os"
	"strconv"
	"sync"
)

// cannotObey returns errSecure in a set-user-ID program, or one with file capabilities, where the
// constructor has not seen to that.
var cannotObey = sync.OnceValue(func() error {
	const atSecure = 23 // getauxval(3)
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
