package birth

import (
	"slices"

	"golang.org/x/sys/unix"
)

// cannotObey returns errSecure in a set-user-ID program, or one with file capabilities, where the
// constructor has not seen to that (getauxval(3): AT_SECURE).
func cannotObey() error {
	const atSecure = 23
	auxv, err := unix.Auxv()
	if err != nil || slices.ContainsFunc(auxv, func(entry [2]uintptr) bool { return entry[0] == atSecure && entry[1] != 0 }) {
		return errSecure
	}
	return nil
}
