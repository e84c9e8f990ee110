package birth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// flags are the flags of clone(2) for each of the kinds, and pidfdGet the numbers
// of ioctl_pidfd(2) for those namespaces that children get.
var (
	flags = []int{
		unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWCGROUP, unix.CLONE_NEWIPC,
		unix.CLONE_NEWNET, unix.CLONE_NEWPID, unix.CLONE_NEWUTS, unix.CLONE_NEWTIME,
	}
	pidfdGet = []uint{9, 3, 1, 2, 4, 6, 10, 8} // PIDFD_GET_USER_NAMESPACE, …; Linux 6.11
)

// Flag returns the flag of a type of namespaces.
func Flag(kind string) (flag int, err error) {
	if err := checkWord(kind); err != nil {
		return 0, err
	}
	return flags[slices.Index(kinds, kind)], nil
}

// checkWord is CheckKind where a type bears no bang.
func checkWord(word string) error {
	err := CheckKind(word)
	if err != nil && CheckKind(strings.TrimPrefix(word, "!")) == nil {
		return fmt.Errorf("%w: types are given without bang", err)
	}
	return err
}

// pidfdMagic is the type of the ioctls of a pidfd. What else is in their numbers depends on the
// architecture, and is what those of namespaces have.
const pidfdMagic = 0xff00

// A Process is held by its directory in /proc, so that no other one with the same
// PID is ever mistaken for it.
type Process struct {
	pid   int
	dir   *os.File
	types []string
}

// Hold finds a process whose namespaces of these types are wanted; of all, if there
// are none. It stays held until Close.
func Hold(pid int, types []string) (*Process, error) {
	for _, kind := range types {
		if err := checkWord(kind); err != nil {
			return nil, err
		}
	}
	if err := CheckOnce(types); err != nil {
		return nil, err
	}
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, notFound(pid, slices.Concat(types, kinds)[0], err)
	}
	return &Process{pid: pid, dir: os.NewFile(uintptr(fd), "process"), types: types}, nil
}

// notFound returns the error of a namespace that is out of reach.
func notFound(pid int, kind string, err error) error {
	e := &JoinError{Kind: kind, Path: path(pid, kind), Err: err}
	e.Text = fmt.Sprintf("cannot find %s namespace of process %d: %v%s", kind, pid, err, Hint(err, kind, e.Path))
	return e
}

// path is where the namespaces of processes are.
func path(pid int, kind string) string { return fmt.Sprintf("/proc/%d/ns/%s", pid, kind) }

// Close ends the hold.
func (p *Process) Close() { _ = p.dir.Close() }

// open opens a file in the directory of the process, which is about one of its namespaces. There is no os.File yet, since many
// are just compared and closed.
func (p *Process) open(name string, flags int, kind string) (fd int, err error) {
	for {
		fd, err = unix.Openat(int(p.dir.Fd()), name, flags|unix.O_CLOEXEC, 0)
		switch err {
		case nil:
			return fd, nil
		case unix.EINTR:
			continue
		case unix.ESRCH: // what openat says of a process that has gone
			err = unix.ENOENT
		}
		return -1, notFound(p.pid, kind, err)
	}
}

// Open opens the namespaces that are wanted, but for those that the calling thread's
// children are in anyway, since they get no fresh ones of that type. If all are wanted, fresh ones do not matter, and those
// that joining the user namespace would put out of reach come first. With the mount namespace comes the root directory.
func (p *Process) Open(fresh uintptr) (namespaces []Ref, err error) {
	runtime.LockOSThread() // the answer is about one thread
	defer runtime.UnlockOSThread()
	defer func() {
		if err != nil {
			Close(namespaces)
			namespaces = nil
		}
	}()
	own := openOwn()
	defer own.close()
	types, all := p.types, len(p.types) == 0
	if all {
		types = kinds
	}
	var user uint64 // the user namespace to be joined, if all are wanted
	foreign := 0    // how many of the namespaces do not belong to it
	for _, kind := range types {
		fd, err := p.open("ns/"+kind, unix.O_RDONLY, kind)
		if all && errors.Is(err, fs.ErrNotExist) && p.lacks(kind) {
			continue
		}
		if err != nil {
			return namespaces, err
		}
		there, err := inode(fd)
		if err != nil {
			_ = unix.Close(fd)
			return namespaces, err
		}
		// Where the own one is not known, the kernel has the last word.
		here, known := own.inode(kind)
		if stays := all || fresh&uintptr(flags[slices.Index(kinds, kind)]) == 0; stays && known && here == there {
			_ = unix.Close(fd)
			continue
		}
		path := path(p.pid, kind)
		at := len(namespaces)
		switch {
		case all && kind == "user":
			user = there
		case user != 0 && !belongs(fd, user):
			at = foreign
			foreign++
		}
		namespaces = slices.Insert(namespaces, at, Ref{Type: "!" + kind, Path: path, File: os.NewFile(uintptr(fd), path)})
	}
	if joined := slices.Contains(kindsOf(namespaces), "mnt"); joined || slices.Contains(types, "mnt") && fresh&unix.CLONE_NEWNS == 0 {
		root, err := p.root(joined)
		return append(namespaces, root...), err
	}
	return namespaces, nil
}

// root opens the root directory of the process. A child that is in this mount namespace already may have the same one.
func (p *Process) root(joined bool) ([]Ref, error) {
	fd, err := p.open("root", unix.O_PATH|unix.O_DIRECTORY, "mnt")
	if err != nil {
		return nil, err
	}
	identify := func(fd int, path string) [4]uint64 {
		var stat unix.Statx_t
		_ = unix.Statx(fd, path, unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_MNT_ID, &stat) // all are equal where the kernel does not tell
		return [4]uint64{stat.Ino, uint64(stat.Dev_major), uint64(stat.Dev_minor), stat.Mnt_id}
	}
	if !joined && identify(fd, "") == identify(unix.AT_FDCWD, "/") {
		return nil, unix.Close(fd)
	}
	path := fmt.Sprintf("/proc/%d/root", p.pid)
	return []Ref{{Type: rootKind, Path: path, File: os.NewFile(uintptr(fd), path)}}, nil
}

// Ended returns an error if the process has ended, or is about to: it is without namespaces sooner than it is gone. The first
// process of a PID namespace is not gone before all others in there have been reaped.
func (p *Process) Ended() error {
	var stat unix.Stat_t
	switch unix.Fstatat(int(p.dir.Fd()), "ns/mnt", &stat, 0) {
	case unix.ENOENT, unix.ESRCH:
		return fmt.Errorf("its target, process %d, has ended: %w", p.pid, os.ErrProcessDone)
	}
	return nil
}

// lacks tells whether the kernel does not have this type of namespaces: the
// process is there, but not this namespace.
func (p *Process) lacks(kind string) bool {
	var stat unix.Stat_t
	return unix.Fstatat(int(p.dir.Fd()), "ns/user", &stat, 0) == nil &&
		unix.Fstatat(int(p.dir.Fd()), "ns/"+kind, &stat, unix.AT_SYMLINK_NOFOLLOW) == unix.ENOENT
}

// inode identifies a namespace, among those of all types.
func inode(fd int) (uint64, error) {
	var stat unix.Stat_t
	err := unix.Fstat(fd, &stat)
	return stat.Ino, err
}

// An ownDir is the directory of the calling thread's namespaces, or -1 if there is none.
type ownDir int

func openOwn() ownDir {
	fd, err := unix.Open("/proc/thread-self/ns", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return ownDir(fd)
}

func (d ownDir) close() {
	if d >= 0 {
		_ = unix.Close(int(d))
	}
}

// inode identifies the namespace of the calling thread's children, if that can be found out.
func (d ownDir) inode(kind string) (ino uint64, known bool) {
	if d >= 0 {
		name := kind
		if kind == "pid" || kind == "time" {
			name += "_for_children" // a thread's own may be another one (namespaces(7))
		}
		// The text "net:[4026531840]" says it, and takes a third of the time of stat, which has to make that inode.
		var text [64]byte
		n, err := unix.Readlinkat(int(d), name, text[:])
		_, number, ok := strings.Cut(string(text[:max(n, 0)]), ":[")
		if ino, parseErr := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64); err == nil && ok && parseErr == nil {
			return ino, true
		}
	}
	return ownByPidfd(kind)
}

// ownByPidfd is inode without /proc, which may belong to a PID namespace that does not know
// this process.
func ownByPidfd(kind string) (ino uint64, known bool) {
	pidfd, err := unix.PidfdOpen(unix.Gettid(), unix.O_EXCL) // PIDFD_THREAD
	if err != nil {
		return 0, false
	}
	defer unix.Close(pidfd)
	fd, err := unix.IoctlRetInt(pidfd, unix.NS_GET_NSTYPE&^0xffff|pidfdMagic|pidfdGet[slices.Index(kinds, kind)])
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	ino, err = inode(fd)
	return ino, err == nil
}
