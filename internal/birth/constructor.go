//go:build linux && cgo

package birth

/*
#cgo CFLAGS: -Wall -Wextra
#cgo race CFLAGS: -DBIRTH_RACE
#cgo LDFLAGS: -Wl,--push-state,--no-as-needed -ldl -Wl,--pop-state
#include <stdlib.h>
#include "constructor.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/thediveo/gons"
	"golang.org/x/sys/unix"
)

// A child in other namespaces is not dumpable, which the constructor sees to. With the race detector it leaves that to
// this function: at the start the detector reads its options from /proc/self/environ, which would be out of its reach.
func init() {
	if Order(socketVar) != "" {
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
}

// Status returns why package gons could not join namespaces that other code than this package has ordered, or nil.
func Status() error { return gons.Status() }

// takenOrder returns the value of an order, and whether the constructor ran.
func takenOrder(name string) (value string, ran bool) {
	key := C.CString(name)
	defer C.free(unsafe.Pointer(key))
	return C.GoString(C.birth_order(key)), C.birth_state != C.BIRTH_UNSEEN
}

// IgnoresTerm tells whether the parent of this child ignores SIGTERM.
func IgnoresTerm() bool { return C.birth_ignores_term != 0 }

// CannotStart returns why this process may start no children, or nil.
func CannotStart() error {
	switch C.birth_state {
	case C.BIRTH_SECURE:
		return errSecure
	case C.BIRTH_LIBRARY:
		return fmt.Errorf("this code is in a library, and /proc/self/exe may be a program without it: %w", errors.ErrUnsupported)
	case C.BIRTH_LOADED:
		return fmt.Errorf("the loader was told to run this program, so /proc/self/exe is the loader: start the program by itself: %w", errors.ErrUnsupported)
	case C.BIRTH_UNSEEN:
		return cannotObey()
	}
	return nil
}

// CannotJoin returns why children of this process cannot join namespaces, or nil.
func CannotJoin() error {
	if C.birth_state == C.BIRTH_UNSEEN {
		return fmt.Errorf("cannot join namespaces, since the C constructor of this package did not run "+
			"when this program started: link it externally (-linkmode=external): %w", errors.ErrUnsupported)
	}
	return nil
}
