package reexec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// kinds are the types of namespaces that package gons knows, in the order in
// which nsenter(1) lists them, and their flags (clone(2)).
var (
	kinds = []string{"user", "mnt", "cgroup", "ipc", "net", "pid", "uts"}
	flags = []int{
		unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWCGROUP, unix.CLONE_NEWIPC,
		unix.CLONE_NEWNET, unix.CLONE_NEWPID, unix.CLONE_NEWUTS,
	}
)

func namespacesOf(pid int, types []string) (namespaces []Namespace, err error) {
	runtime.LockOSThread() // the answer is about one thread
	defer runtime.UnlockOSThread()
	all := len(types) == 0
	if all {
		types = kinds
	}
	for _, kind := range types {
		if !slices.Contains(kinds, kind) {
			return nil, fmt.Errorf("gons/reexec: NamespacesOf: unknown namespace type %q", kind)
		}
		here, err := os.Stat("/proc/thread-self/ns/" + inherited(kind))
		if all && errors.Is(err, fs.ErrNotExist) && kind != "pid" {
			continue // the kernel does not have this type
		}
		path := "/proc/" + strconv.Itoa(pid) + "/ns/" + kind
		there, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("gons/reexec: NamespacesOf: cannot find %s namespace of process %d: %w", kind, pid, err)
		}
		// Without the own one to compare with, the kernel has the last word.
		if here == nil || !os.SameFile(here, there) {
			namespaces = append(namespaces, Namespace{Type: "!" + kind, Path: path})
		}
	}
	return namespaces, nil
}

// inherited is the file in /proc/PID/ns of the namespace that children get: only
// a thread's own PID namespace may be another one (namespaces(7)).
func inherited(kind string) string {
	if kind == "pid" {
		return "pid_for_children"
	}
	return kind
}

func namespaceFile(f *os.File) (ns Namespace, err error) {
	if f == nil {
		return ns, os.ErrInvalid
	}
	// The PID in the view of /proc, which may be another one than os.Getpid.
	self, err := os.Readlink("/proc/self")
	if err != nil {
		return ns, err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return ns, fmt.Errorf("%s: %w", f.Name(), err)
	}
	controlErr := conn.Control(func(fd uintptr) {
		var flag int
		if flag, err = unix.IoctlRetInt(int(fd), unix.NS_GET_NSTYPE); err != nil {
			err = fmt.Errorf("%s is not a namespace: %w", f.Name(), err)
			return
		}
		i := slices.Index(flags, flag)
		if i < 0 {
			err = fmt.Errorf("%s is a namespace of unknown type %#x", f.Name(), flag)
			return
		}
		ns = Namespace{Type: "!" + kinds[i], Path: fmt.Sprintf("/proc/%s/fd/%d", self, fd)}
	})
	if controlErr != nil { // there is but one reason, which package os does not name here
		return ns, fmt.Errorf("%s: %w", f.Name(), os.ErrClosed)
	}
	return ns, err
}
