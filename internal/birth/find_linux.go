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

// cloneFlags are those of clone(2) for each of the kinds, and pidfdGet the numbers
// of ioctl_pidfd(2) for those namespaces that children get.
var (
	cloneFlags = []int{
		unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWCGROUP, unix.CLONE_NEWIPC,
		unix.CLONE_NEWNET, unix.CLONE_NEWPID, unix.CLONE_NEWUTS, unix.CLONE_NEWTIME,
	}
	pidfdGet = []uint{9, 3, 1, 2, 4, 6, 10, 8} // PIDFD_GET_USER_NAMESPACE, …; Linux 6.11
)

func flag(kind string) uintptr { return uintptr(cloneFlags[slices.Index(kinds, kind)]) }

// Flags returns the flags of types of namespaces, which bear no bangs.
func Flags(types []string) (flags uintptr, err error) {
	if err := check(types); err != nil {
		return 0, err
	}
	for _, kind := range types {
		flags |= flag(kind)
	}
	return flags, nil
}

// A Process is held by its directory in /proc, so that another one that gets its PID is never mistaken for it.
type Process struct {
	pid   int
	dir   *os.File
	types []string
	err   error // why there is no such process
}

// Hold finds a process whose namespaces are to be joined: those of these types, or all of them if there are no types. Open tells
// if there is no such process. Close releases it.
func Hold(pid int, types []string) *Process {
	p := &Process{pid: pid, types: types, err: check(types)}
	if p.err != nil {
		return p
	}
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		p.err = notFound(pid, slices.Concat(types, kinds)[0], err)
		return p
	}
	p.dir = os.NewFile(uintptr(fd), "process")
	return p
}

// notFound returns the error of a namespace that cannot be opened.
func notFound(pid int, kind string, err error) error {
	e := &JoinError{Kind: kind, Path: path(pid, kind), Err: err}
	e.Text = fmt.Sprintf("cannot find %s namespace of process %d: %v%s", kind, pid, err, Hint(err, kind, e.Path))
	return e
}

// path returns the path of a namespace of a process.
func path(pid int, kind string) string { return fmt.Sprintf("/proc/%d/ns/%s", pid, kind) }

// Close releases the process.
func (p *Process) Close() { _ = p.dir.Close() } // or nothing: nil

// open opens a file in the directory of the process. An error names this kind of namespace. The result is a descriptor, and no
// os.File, since most of them are only compared and closed.
func (p *Process) open(name string, flags int, kind string) (fd int, err error) {
	fd, err = unix.Openat(int(p.dir.Fd()), name, flags|unix.O_CLOEXEC, 0)
	if err == unix.ESRCH { // the process has gone
		err = unix.ENOENT
	}
	if err != nil {
		return -1, notFound(p.pid, kind, err)
	}
	return fd, nil
}

// Open opens the namespaces that are to be joined, and with the mount namespace the root directory. It leaves out those that the
// calling thread's children are in anyway, unless types were given and the child gets a fresh namespace of that type, as the flags
// of clone(2) say. Without types, namespaces that the user namespace does not own come before it: they are out of reach after
// it. The caller closes what is returned, also with an error.
func (p *Process) Open(fresh uintptr) (namespaces []Ref, err error) {
	if p.err != nil {
		return nil, p.err
	}
	runtime.LockOSThread() // ownInode is about one thread
	defer runtime.UnlockOSThread()
	types, all := p.types, len(p.types) == 0
	if all {
		types = kinds
	}
	var user uint64 // the user namespace to be joined, if all are
	foreign := 0    // how many of the others it does not own
	for _, kind := range types {
		fd, err := p.open("ns/"+kind, unix.O_RDONLY, kind)
		if all && errors.Is(err, fs.ErrNotExist) && p.Ended() == nil {
			continue // the kernel lacks this type of namespaces
		}
		if err != nil {
			return namespaces, err
		}
		there := inode(fd)
		if stays := all || fresh&flag(kind) == 0; stays && ownInode(kind) == there {
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
	if !slices.Contains(types, "mnt") {
		return namespaces, nil
	}
	joined := slices.Contains(kindsOf(namespaces), "mnt")
	root, err := p.root(joined)
	namespaces = append(namespaces, root...)
	if err == nil && len(root) > 0 && fresh&unix.CLONE_NEWNS != 0 && !joined {
		err = fmt.Errorf("the root directory of process %d is not in the new mount namespace of the child: leave out that, or mnt", p.pid)
	}
	return namespaces, err
}

// root opens the root directory of the process. It returns nothing if the child has that root directory already, which can be
// only if it has not joined the mount namespace.
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

// Ended returns an error if the process has ended, or is about to: it loses its namespaces before it is gone. The first process
// of a PID namespace stays until all others in there have been reaped.
func (p *Process) Ended() error {
	var stat unix.Stat_t
	switch unix.Fstatat(int(p.dir.Fd()), "ns/mnt", &stat, 0) {
	case unix.ENOENT, unix.ESRCH:
		return fmt.Errorf("its target, process %d, has ended: %w", p.pid, os.ErrProcessDone)
	}
	return nil
}

// inode identifies an open namespace among those of all types.
func inode(fd int) uint64 {
	var stat unix.Stat_t
	_ = unix.Fstat(fd, &stat) // it is open
	return stat.Ino
}

// ownInode identifies the namespace of this type that the calling thread's children are in. It returns 0 where the kernel does not
// tell.
func ownInode(kind string) uint64 {
	name := kind
	if kind == "pid" || kind == "time" {
		name += "_for_children" // a thread's own may be another one (namespaces(7))
	}
	// The text "net:[4026531840]" says it, and takes a third of the time of stat, which has to make that inode.
	text, _ := os.Readlink("/proc/thread-self/ns/" + name)
	_, number, _ := strings.Cut(text, ":[")
	if ino, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64); err == nil {
		return ino
	}
	return ownInodeByPidfd(kind)
}

// pidfdMagic is the type of the ioctls of a pidfd. The rest of their numbers depends on the architecture, and is that of
// NS_GET_NSTYPE.
const pidfdMagic = 0xff00

// ownInodeByPidfd is ownInode without /proc, which may belong to a PID namespace where this process has no number. It takes
// Linux 6.11.
func ownInodeByPidfd(kind string) uint64 {
	pidfd, err := unix.PidfdOpen(unix.Gettid(), unix.O_EXCL) // PIDFD_THREAD
	if err != nil {
		return 0
	}
	defer unix.Close(pidfd)
	fd, err := unix.IoctlRetInt(pidfd, unix.NS_GET_NSTYPE&^0xffff|pidfdMagic|pidfdGet[slices.Index(kinds, kind)])
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	return inode(fd)
}
