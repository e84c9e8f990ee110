// Command without runs a program that has to do without some system calls:
//
//	without setns,unshare program argument…
//
// A seccomp filter has them fail with EPERM, as the filters of container engines do.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a filter returns; see seccomp(2).
const (
	errno = 0x00050000
	allow = 0x7fff0000
)

// denials are the calls that a filter may deny.
var denials = map[string]uint32{
	"setns":   unix.SYS_SETNS,
	"unshare": unix.SYS_UNSHARE,
	"clone3":  unix.SYS_CLONE3,
}

func main() {
	if len(os.Args) < 3 {
		fail("usage: without CALL,CALL… PROGRAM ARGUMENT…")
	}
	var calls []uint32
	for _, name := range strings.Split(os.Args[1], ",") {
		call, ok := denials[name]
		if !ok {
			fail("unknown call ", name)
		}
		calls = append(calls, call)
	}
	program, err := exec.LookPath(os.Args[2])
	check("find program", err)
	runtime.LockOSThread() // the filter is this thread's, and passes to what it executes
	check("set no_new_privs", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	filter := deny(calls)
	check("set filter", unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER,
		uintptr(unsafe.Pointer(&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})), 0, 0))
	check("execute "+program, syscall.Exec(program, os.Args[2:], os.Environ()))
}

// deny returns a filter that denies calls, and allows all else. The calls of other
// architectures are not looked at: it is for tests, and keeps nobody in.
func deny(calls []uint32) []unix.SockFilter {
	const number = 0 // where seccomp_data has it
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number}}
	for i, call := range calls {
		filter = append(filter, unix.SockFilter{
			Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jt: uint8(len(calls) - i)})
	}
	return append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: allow},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: errno | uint32(unix.EPERM)},
	)
}

func check(what string, err error) {
	if err != nil {
		fail(what, ": ", err)
	}
}

func fail(what ...any) {
	fmt.Fprint(os.Stderr, "without: ", fmt.Sprint(what...), "\n")
	os.Exit(1)
}
