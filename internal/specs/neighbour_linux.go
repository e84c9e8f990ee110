package specs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/onsi/ginkgo/v2"
	"golang.org/x/sys/unix"
)

// A Neighbour is a process in namespaces of its own, to be visited by specs. It
// lasts until the end of its spec.
type Neighbour struct {
	PID  int
	End  func() // ends it, and returns when it is gone
	Hall string // an empty folder; in the neighbour's mount namespace it is a tmpfs, where there are references
}

// NamespaceFlags are the flags of clone(2), in the order of "nsenter --all".
var NamespaceFlags = []struct {
	Kind string
	Flag uintptr
}{
	{"user", unix.CLONE_NEWUSER},
	{"mnt", unix.CLONE_NEWNS},
	{"cgroup", unix.CLONE_NEWCGROUP},
	{"ipc", unix.CLONE_NEWIPC},
	{"net", unix.CLONE_NEWNET},
	{"pid", unix.CLONE_NEWPID},
	{"uts", unix.CLONE_NEWUTS},
	{"time", unix.CLONE_NEWTIME},
}

// NewNeighbour starts a process with new namespaces of these types, and skips a spec where
// that cannot be. Ordinary users need "user" among them. With "no /dev", or "no /proc", after "mnt", that is
// an empty tmpfs; with "root PATH" one at PATH, which has such a directory, too, is the root of who joins; and with "FIFO /proc/self/cgroup" after that there is one, which blocks its readers.
//
// In a user namespace the caller's IDs are root's. With "unmapped" there are none in there. With "mapped", for
// which one must be root, the neighbour has 65536 IDs from [FirstMapped] on, as a container has; with "mapped to 1"
// these start at 1, so that there is no root, and "without group 0" there is no root's group.
func NewNeighbour(kinds ...string) *Neighbour {
	ginkgo.GinkgoHelper()
	NeedsNamespaces(kinds...)
	n := OK(StartNeighbour(ginkgo.GinkgoT().TempDir(), kinds...))
	ginkgo.DeferCleanup(n.End)
	return n
}

// attributes are those of a process with new namespaces of these types.
func attributes(kinds []string) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{}
	for _, ns := range NamespaceFlags {
		switch {
		case !slices.Contains(kinds, ns.Kind):
		case ns.Flag == unix.CLONE_NEWTIME: // to clone(2) this is a part of the signal
			attr.Unshareflags |= ns.Flag
		default:
			attr.Cloneflags |= ns.Flag
		}
	}
	if slices.Contains(kinds, "user") {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	for word, first := range map[string]int{"mapped": 0, "mapped to 1": 1} {
		if slices.Contains(kinds, word) {
			attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: first, HostID: FirstMapped, Size: 1 << 16}}
			attr.GidMappings = attr.UidMappings
			attr.GidMappingsEnableSetgroups = true
			attr.Credential = &syscall.Credential{Uid: uint32(first), Gid: uint32(first)}
		}
	}
	if slices.Contains(kinds, "without group 0") {
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 1, HostID: os.Getegid(), Size: 1}}
	}
	if slices.Contains(kinds, "unmapped") {
		attr.UidMappings, attr.GidMappings = nil, nil
	}
	return attr
}

// FirstMapped is the first of 65536 IDs that no user of this machine has.
const FirstMapped = 100000

// StartNeighbour starts a neighbour that lasts until its End is called. If it cannot be
// started, nothing is left of it.
func StartNeighbour(hall string, kinds ...string) (*Neighbour, error) {
	mounts := hall
	if !slices.Contains(kinds, "mnt") {
		mounts = "-"
	}
	args := []string{mounts}
	for _, kind := range kinds {
		if strings.Contains(kind, "/") {
			args = append(args, kind)
		}
	}
	cmd := Child("neighbour", args...)
	cmd.SysProcAttr = attributes(kinds)
	if slices.Contains(kinds, "time") {
		// Before Linux 6.3 a process enters its new time namespace only if told so, as our children are.
		cmd.Env = append(cmd.Env, "gons_reexec_child=1")
	}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	stay, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	ready, err := cmd.StdoutPipe()
	if err != nil {
		_ = stay.Close()
		return nil, err
	}
	if err := cmd.Start(); err != nil { // which closes the pipes
		return nil, err
	}
	end := sync.OnceFunc(func() {
		_ = stay.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(ready).ReadString('\n'); line != "ready\n" {
		end()
		return nil, fmt.Errorf("neighbour is not ready: %q, %w, %s, %v", line, err, &complaint, cmd.ProcessState)
	}
	return &Neighbour{PID: cmd.Process.Pid, End: end, Hall: hall}, nil
}

func init() {
	Roles["neighbour"] = beNeighbour
	Roles["friend of a neighbour"] = func(args []string) {
		n, err := StartNeighbour(args[0], args[1:]...)
		if err != nil {
			fmt.Println(err)
			return
		}
		n.End()
	}
}

// beNeighbour is the main function of a neighbour. Its first argument is the hall, or - for
// one that mounts nothing. The others are what else it does in its mount namespace.
func beNeighbour(args []string) {
	hall := args[0]
	if strings.HasPrefix(hall, "/") {
		check := func(err error) {
			if err != nil {
				fmt.Fprintln(os.Stderr, "neighbour:", err)
				os.Exit(1)
			}
		}
		check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		check(unix.Mount("tmpfs", hall, "tmpfs", 0, ""))
		check(os.Chmod(hall, 0o755))
		for _, ns := range NamespaceFlags {
			// In the neighbour's mount namespace there is still the /proc of its
			// parent, and there it is itself what the link says.
			self, err := os.Readlink("/proc/self")
			check(err)
			check(os.Symlink("/proc/"+self+"/ns/"+ns.Kind, filepath.Join(hall, ns.Kind)))
		}
		for _, arg := range args[1:] {
			switch word, path, _ := strings.Cut(arg, " "); word {
			case "no":
				check(unix.Mount("tmpfs", path, "tmpfs", 0, ""))
			case "root":
				check(unix.Mount("tmpfs", path, "tmpfs", 0, ""))
				check(os.MkdirAll(path+path, 0o755))
				check(unix.Mount(path, "/", "", unix.MS_BIND, ""))
			default:
				check(os.MkdirAll(filepath.Dir(path), 0o755))
				check(unix.Mkfifo(path, 0o644))
			}
		}
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// Path is the reference to a namespace of the neighbour.
func (n *Neighbour) Path(kind string) string { return fmt.Sprintf("/proc/%d/ns/%s", n.PID, kind) }

// ID identifies the neighbour's namespace of a type.
func (n *Neighbour) ID(kind string) string {
	ginkgo.GinkgoHelper()
	return NamespaceID(n.PID, kind)
}

// NamespaceID identifies a namespace of a process; its type may have a bang.
func NamespaceID(process any, typ string) string {
	ginkgo.GinkgoHelper()
	return OK(os.Readlink(fmt.Sprintf("/proc/%v/ns/%s", process, strings.TrimPrefix(typ, "!"))))
}
