package integration

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// expectTarget expects an action with this target to be in the neighbour's namespaces of these types, and in no others.
func expectTarget(n *neighbour, kinds []string, options ...option) {
	GinkgoHelper()
	expectIn(n, kinds, must(whereami.Call(background, struct{}{}, options...)))
}

// standIn starts a process with a certain PID, which has just become free.
//
//go:norace
func standIn(pid int32) (end func()) {
	args := struct{ flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize uint64 }{
		exitSignal: uint64(unix.SIGCHLD), setTID: uint64(uintptr(unsafe.Pointer(&pid))), setTIDSize: 1}
	child, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	if child == 0 && errno == 0 {
		for { // this is another process, in which there is no Go runtime
			_, _, _ = unix.RawSyscall(unix.SYS_PPOLL, 0, 0, 0)
		}
	}
	if errno != 0 {
		Skip("cannot choose a PID: " + errno.Error())
	}
	runtime.KeepAlive(&pid)
	return func() {
		_ = unix.Kill(int(child), unix.SIGKILL)
		_, _ = unix.Wait4(int(child), nil, 0, nil)
	}
}

var _ = Describe("a target", func() {

	It("has all its namespaces joined, those that are shared left out", func() {
		n := newNeighbour(allKinds...)
		expectTarget(n, allKinds, reexec.Target(n.PID))
		for _, kinds := range [][]string{{"user"}, {"user", "time"}, {"user", "mnt", "pid"}} {
			n := newNeighbour(kinds...)
			expectTarget(n, kinds, reexec.Target(n.PID))
		}
	})

	It("may be oneself", func() {
		specs.NeedsCgo()
		expectTarget(nil, nil, reexec.Target(unix.Getpid()))
	})

	It("has those joined that are asked for", func() {
		n := newNeighbour(allKinds...)
		for _, kinds := range [][]string{{"user"}, {"user", "net"}, {"time", "user"}, {"user", "pid", "mnt"}} {
			expectTarget(n, kinds, reexec.Target(n.PID, kinds...))
		}
		if specs.IsRoot() {
			n := newNeighbour(allKinds[1:]...)
			expectTarget(n, []string{"net"}, reexec.Target(n.PID, "net"))
		}
	})

	It("has no way for those whose order is wrong", func() {
		n := newNeighbour("user", "net")
		if specs.IsRoot() {
			expectTarget(n, []string{"net", "user"}, reexec.Target(n.PID, "net", "user"))
			return
		}
		Expect(reexec.RunReexecAction("silent", reexec.Target(n.PID, "net", "user"))).To(MatchError(unix.EPERM))
	})

	It("is for functions and workers too", func() {
		n := newNeighbour(allKinds...)
		target := reexec.Target(n.PID)
		for _, by := range ways[struct{}, map[string]string]() {
			Expect(by(whereami, struct{}{}, target)).To(HaveKeyWithValue("pid", n.ID("pid")))
		}
	})

	It("is good for many runs, at a time as well", func() {
		n := newNeighbour("user", "net", "pid")
		target := reexec.Target(n.PID)
		together(8, func(int) error {
			ids, err := whereami.Call(background, struct{}{}, target)
			if err == nil && ids["net"] != n.ID("net") {
				err = fs.ErrInvalid
			}
			return err
		})
	})

	It("comes before the namespaces given by reference", func() {
		n := newNeighbour("user", "mnt", "uts", "net")
		// It is found only after mnt, and an ordinary user may join it only after user.
		inside := reexec.Namespace{Type: "uts", Path: filepath.Join(n.Hall, "uts")}
		references, target := joining(inside), reexec.Target(n.PID, "user", "mnt")
		expectTarget(n, []string{"user", "mnt", "uts"}, target, references)
		expectTarget(n, []string{"user", "mnt", "uts"}, references, target)
	})

	It("may not bring a type that there is already", func() {
		n := newNeighbour("user", "net", "time")
		for _, options := range [][]option{
			{reexec.Target(n.PID), n.in("net")},
			{reexec.Target(n.PID, "user", "time"), n.in("!time")},
			{reexec.Target(n.PID), reexec.Target(n.PID)},
			{reexec.Target(n.PID, "user", "user")},
			// Those that would be left out count, too.
			{reexec.Target(unix.Getpid(), "uts", "uts")},
			{reexec.Target(unix.Getpid(), "net"), n.in("net")},
			{reexec.Unshare("user", "net"), reexec.Unshare("net")},
		} {
			expectInEveryWay(MatchError(ContainSubstring("cannot start child, reason: duplicate namespace order type")), options...)
		}
		Expect(reexec.NamespacesOf(unix.Getpid(), "uts", "uts")).Error().To(MatchError(ContainSubstring("duplicate")))
	})

	It("counts where the child gets new namespaces, but would have been left out otherwise", func() {
		specs.NeedsNamespaces("user", "net")
		if specs.IsRoot() {
			inNewNamespaces(unix.CLONE_NEWNET, func() {
				for _, anew := range []option{reexec.Unshare("net"), withAttr(syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET})} {
					Expect(whereami.Call(background, struct{}{}, reexec.Target(unix.Gettid(), "net"), anew)).To(
						HaveKeyWithValue("net", specs.NamespaceID("thread-self", "net")))
				}
			})
		}
		// From a user namespace below there is no way back.
		_, err := whereami.Call(background, struct{}{}, reexec.Unshare("user", "net"), reexec.Target(unix.Getpid(), "net"))
		Expect(as[*reexec.JoinError](err)).To(And(HaveField("Type", "net"), MatchError(unix.EPERM)))

		ids := must(whereami.Call(background, struct{}{}, reexec.Unshare("user", "net"), reexec.Target(unix.Getpid())))
		Expect(ids["net"]).NotTo(Equal(specs.NamespaceID("self", "net")), "without types none is asked for that one has")
	})

	It("must be there", func() {
		n := newNeighbour("user", "net")
		n.End()
		for _, pid := range []int{n.PID, 0, -1} {
			for _, way := range waysIn {
				err := way.run(reexec.Target(pid, "net"))
				Expect(err).To(And(MatchError(fs.ErrNotExist), MatchError(ContainSubstring("cannot start child, reason: cannot find net "+
					"namespace of process %d: no such file or directory (the process has ended, or", pid))))
				Expect(as[*reexec.JoinError](asActionError(err))).To(And(HaveField("Type", "net"), HaveField("Path", fmt.Sprintf("/proc/%d/ns/net", pid))))
			}
		}
	})

	It("must be there still when the run begins", func() {
		n := newNeighbour("user", "net", "pid")
		everything, net := reexec.Target(n.PID), reexec.Target(n.PID, "net")
		n.End()
		expectInEveryWay(MatchError(ContainSubstring("cannot find user namespace of process %d: no such file", n.PID)), everything)
		expectInEveryWay(MatchError(fs.ErrNotExist), net)
	})

	It("is not mistaken for another process that gets its PID", func() {
		n := newNeighbour("user", "net")
		everything, net := reexec.Target(n.PID), reexec.Target(n.PID, "net")
		n.End()
		defer standIn(int32(n.PID))()
		Expect(reexec.NamespacesOf(n.PID)).To(BeEmpty(), "the other one is there")
		expectInEveryWay(MatchError(fs.ErrNotExist), everything)
		expectInEveryWay(MatchError(fs.ErrNotExist), net)
	})

	It("must have known types, as new namespaces must", func() {
		specs.NeedsCgo()
		for _, typ := range []string{"foo", "", "!net", "pid_for_children"} {
			for _, types := range []option{reexec.Target(unix.Getpid(), "net", typ), reexec.Unshare("user", typ)} {
				expectInEveryWay(MatchError(HaveSuffix("cannot start child, reason: unknown namespace type %q, "+
					"known are user, mnt, cgroup, ipc, net, pid, uts, time", typ)), types)
			}
		}
	})

	It("does not touch the types of its caller", func() {
		types := append(make([]string, 0, 20), "net", "uts", "ipc")
		Expect(reexec.NamespacesOf(0, types[:1]...)).Error().To(HaveOccurred())
		reexec.Target(0, types[:1]...)
		Expect(types).To(Equal([]string{"net", "uts", "ipc"}))
	})

	It("is let go when nobody needs it", func() {
		before := openFiles()
		func() {
			n := newNeighbour("user", "net")
			defer n.End()
			target := reexec.Target(n.PID)
			Expect(openFiles()).To(BeNumerically(">", before))
			expectTarget(n, []string{"user", "net"}, target)
			runtime.GC()
			expectTarget(n, []string{"user", "net"}, target) // still held
		}()
		Eventually(afterGC(openFiles)).Should(Equal(before))
	})
})

// Proc is what a process tells where /proc belongs to another PID namespace.
type proc struct {
	Trouble    string // why the role could not be played
	Self       string // where /proc/self leads to
	All, Some  []string
	AllErr     string
	WithoutFDs []string // all, where the process cannot ask about itself
	RunErrs    []string
}

func init() {
	// Looks at the first process of another PID namespace, whose /proc it has.
	roles["stranger"] = func([]string) any {
		runtime.LockOSThread()
		first := exec.Command("/bin/sh", "-c", "mount -t proc proc /proc && echo ready && read end")
		first.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS}
		first.Stderr = os.Stderr
		stay, _ := first.StdinPipe()
		ready, _ := first.StdoutPipe()
		if err := first.Start(); err != nil {
			return proc{Trouble: err.Error()}
		}
		defer func() { _ = stay.Close(); _ = first.Wait() }()
		if _, err := fmt.Fscanln(ready, new(string)); err != nil {
			return proc{Trouble: "cannot mount /proc"}
		}
		var p proc
		p.Self, _ = os.Readlink("/proc/self")
		namespaces, err := reexec.NamespacesOf(1)
		p.All, p.AllErr = types(namespaces), fmt.Sprint(err)
		namespaces, _ = reexec.NamespacesOf(1, "mnt", "net", "time", "pid")
		p.Some = types(namespaces)
		for _, way := range waysIn {
			p.RunErrs = append(p.RunErrs, fmt.Sprint(way.run(reexec.Namespaces(namespaces))), fmt.Sprint(way.run(reexec.Target(1))))
		}
		if err := deny(unix.SYS_PIDFD_OPEN, unix.ENOSYS); err != nil { // as on kernels before Linux 5.3
			return proc{Trouble: err.Error()}
		}
		namespaces, _ = reexec.NamespacesOf(1)
		p.WithoutFDs = types(namespaces)
		return p
	}
}

var _ = Describe("where /proc belongs to another PID namespace", func() {
	It("finds namespaces, and leaves out none that it cannot compare", func() {
		role := withRole("stranger")
		role.SysProcAttr = inNewMountNamespace()
		p := tellOf[proc](role)
		if p.Trouble != "" {
			Skip(p.Trouble)
		}
		Expect(p.Self).To(BeEmpty(), "this process is not there")
		Expect(p.AllErr).To(Equal("<nil>"))
		all := strings.Fields("!user !mnt !cgroup !ipc !net !pid !uts !time")
		Expect(p.WithoutFDs).To(ConsistOf(all), "in the order in which they can be joined")
		// These are compared, where the kernel has a way.
		if slices.Equal(p.All, all) {
			Expect(p.Some).To(Equal([]string{"!mnt", "!net", "!time", "!pid"}))
		} else {
			Expect(p.All).To(Equal([]string{"!net", "!pid", "!uts"}))
			Expect(p.Some).To(Equal([]string{"!net", "!pid"}))
		}
		Expect(p.RunErrs).NotTo(ContainElement("<nil>"))
		Expect(p.RunErrs).To(HaveEach(MatchRegexp(`cannot start child, reason: .*\(.*/proc .*belongs to another PID namespace.*\)$`)))
	})
})
