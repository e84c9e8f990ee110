package reexec_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// A neighbour is a process in namespaces of its own, to be visited by specs. It
// lasts until the end of its spec.
type neighbour struct {
	pid  int
	end  func() // ends it, and returns when it is gone
	hall string // an empty folder; in the neighbour's mount namespace it is a tmpfs, where there are references
}

// namespaceFlags are the flags of clone(2), in the order of "nsenter --all".
var namespaceFlags = []struct {
	kind string
	flag uintptr
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

// askFor has a child get a new namespace of a type. What is CLONE_NEWTIME to unshare(2)
// is part of the signal to clone(2).
func askFor(attr *syscall.SysProcAttr, flag uintptr) {
	if flag == unix.CLONE_NEWTIME {
		attr.Unshareflags |= flag
		return
	}
	attr.Cloneflags |= flag
}

// isRoot tells whether this process may make and join all namespaces.
var isRoot = sync.OnceValue(func() bool {
	return os.Geteuid() == 0 && refusal("mnt", "cgroup", "ipc", "net", "pid", "uts") == nil
})

// needsRoot skips a spec where it cannot pass.
func needsRoot() {
	GinkgoHelper()
	if os.Geteuid() != 0 {
		Skip("needs root")
	}
	needsNamespaces("mnt", "cgroup", "ipc", "net", "pid", "uts")
}

// nobody is a user without privileges.
var nobody = &syscall.Credential{Uid: 65534, Gid: 65534}

// needsNobody skips a spec where this process cannot start others as nobody.
func needsNobody() {
	GinkgoHelper()
	program := exec.Command("/bin/true")
	program.SysProcAttr = &syscall.SysProcAttr{Credential: nobody}
	if err := program.Run(); err != nil {
		Skip("needs to start a process as another user: " + err.Error())
	}
}

// needsNamespaces skips a spec where this process cannot make, or join, namespaces of
// these types.
func needsNamespaces(kinds ...string) {
	GinkgoHelper()
	if err := refusal(kinds...); err != nil {
		Skip(fmt.Sprintf("needs namespaces (%s): %v", strings.Join(kinds, " "), err))
	}
}

// needsSetns skips a spec where a filter denies joining anything.
func needsSetns() {
	GinkgoHelper()
	if err := unix.Setns(-1, 0); err != unix.EBADF {
		Skip("needs setns: " + err.Error())
	}
}

// refusals are what the kernel has said, by types.
var refusals sync.Map

// refusal returns why this process cannot make, or join, namespaces of these types, nil if
// it can. The kernel is asked once, by another process, since package syscall leaks a pipe
// if a child with mapped IDs cannot be started.
func refusal(kinds ...string) error {
	ask := sync.OnceValue(func() error {
		if err := unix.Setns(-1, 0); err != unix.EBADF { // by a filter
			return os.NewSyscallError("setns", err)
		}
		hall, err := os.MkdirTemp("", "hall-")
		if err != nil {
			return err
		}
		defer os.Remove(hall)
		answer, err := other("friend of a neighbour", append([]string{hall}, kinds...)...).Output()
		if err != nil {
			return err
		}
		if text := strings.TrimSpace(string(answer)); text != "" {
			return errors.New(text)
		}
		return nil
	})
	asked, _ := refusals.LoadOrStore(strings.Join(kinds, " "), ask)
	return asked.(func() error)()
}

// newNeighbour starts a process with new namespaces of these types. Ordinary
// users need "user" among them. With "no /dev" after "mnt", its /dev is empty.
func newNeighbour(kinds ...string) *neighbour {
	GinkgoHelper()
	needsNamespaces(kinds...)
	hall := GinkgoT().TempDir()
	cmd, end, err := startNeighbour(hall, kinds...)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(end)
	return &neighbour{pid: cmd.Process.Pid, hall: hall, end: end}
}

// startNeighbour starts a neighbour that lasts until end is called. If it cannot be
// started, nothing is left of it.
func startNeighbour(hall string, kinds ...string) (cmd *exec.Cmd, end func(), err error) {
	attr := &syscall.SysProcAttr{}
	for _, ns := range namespaceFlags {
		if slices.Contains(kinds, ns.kind) {
			askFor(attr, ns.flag)
		}
	}
	if !slices.Contains(kinds, "mnt") {
		hall = "-"
	}
	if slices.Contains(kinds, "user") {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	args := []string{hall}
	if slices.Contains(kinds, "no /dev") {
		args = append(args, "/dev")
	}
	cmd = other("neighbour", args...)
	cmd.SysProcAttr = attr
	if slices.Contains(kinds, "time") {
		// Before Linux 6.3 a process enters its new time namespace only if told so, as our children are.
		cmd.Env = append(cmd.Env, "gons_reexec_child=1")
	}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	stay, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	ready, err := cmd.StdoutPipe()
	if err != nil {
		_ = stay.Close()
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil { // which closes the pipes
		return nil, nil, err
	}
	end = sync.OnceFunc(func() {
		_ = stay.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(ready).ReadString('\n'); line != "ready\n" {
		end()
		return nil, nil, fmt.Errorf("neighbour is not ready: %q, %w, %s, %v", line, err, &complaint, cmd.ProcessState)
	}
	return cmd, end, nil
}

func init() {
	mains["neighbour"] = beNeighbour
	mains["friend of a neighbour"] = func(args ...string) {
		_, end, err := startNeighbour(args[0], args[1:]...)
		if err != nil {
			fmt.Println(err)
			return
		}
		end()
	}
}

// beNeighbour is the main function of a neighbour. Its first argument is the hall, or - for
// one that mounts nothing. The others are folders that shall be empty, too.
func beNeighbour(args ...string) {
	hall := args[0]
	if strings.HasPrefix(hall, "/") {
		check := func(err error) {
			if err != nil {
				fmt.Fprintln(os.Stderr, "neighbour:", err)
				os.Exit(1)
			}
		}
		check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		for _, empty := range args {
			check(unix.Mount("tmpfs", empty, "tmpfs", 0, ""))
		}
		check(os.Chmod(hall, 0o755))
		for _, ns := range namespaceFlags {
			// In the neighbour's mount namespace there is still the /proc of its
			// parent, and there it is itself what the link says.
			self, err := os.Readlink("/proc/self")
			check(err)
			check(os.Symlink("/proc/"+self+"/ns/"+ns.kind, filepath.Join(hall, ns.kind)))
		}
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// namespace refers to the neighbour's namespace of a type, with or without bang.
func (n *neighbour) namespace(typ string) reexec.Namespace {
	return reexec.Namespace{
		Type: typ,
		Path: fmt.Sprintf("/proc/%d/ns/%s", n.pid, strings.TrimPrefix(typ, "!")),
	}
}

// namespaces refers to several of them.
func (n *neighbour) namespaces(types ...string) (namespaces []reexec.Namespace) {
	for _, typ := range types {
		namespaces = append(namespaces, n.namespace(typ))
	}
	return namespaces
}

// id identifies the neighbour's namespace of a type.
func (n *neighbour) id(kind string) string {
	GinkgoHelper()
	return namespaceID(n.pid, kind)
}

// namespaceID identifies a namespace of a process; its type may have a bang.
func namespaceID(process any, typ string) string {
	GinkgoHelper()
	id, err := os.Readlink(fmt.Sprintf("/proc/%v/ns/%s", process, strings.TrimPrefix(typ, "!")))
	Expect(err).NotTo(HaveOccurred())
	return id
}

var _ = Describe("a neighbour that cannot be started", func() {

	It("leaves nothing", func() {
		needsNamespaces("user", "mnt")
		_, _, err := startNeighbour("/nowhere", "user", "mnt")
		Expect(err).To(HaveOccurred())
	})

})
