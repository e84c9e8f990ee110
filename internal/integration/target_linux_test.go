package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// expectTarget expects an action with this target to be in the neighbour's namespaces
// of these types, and in no others.
func expectTarget(n *neighbour, kinds []string, options ...reexec.ReexecActionOption) {
	GinkgoHelper()
	ids, err := whereami.Call(background, struct{}{}, options...)
	Expect(err).NotTo(HaveOccurred())
	for kind, id := range ids {
		if slices.Contains(kinds, kind) {
			Expect(id).To(Equal(n.ID(kind)), "%s namespace, joined", kind)
		} else {
			Expect(id).To(Equal(specs.NamespaceID("self", kind)), "%s namespace, not joined", kind)
		}
	}
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

	all := []string{"user", "mnt", "cgroup", "ipc", "net", "pid", "uts", "time"}

	AfterEach(func() { runtime.GC() }) // closes what options have held

	It("has all its namespaces joined, those that are shared left out", func() {
		n := newNeighbour(all...)
		expectTarget(n, all, reexec.Target(n.PID))
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
		n := newNeighbour(all...)
		for _, kinds := range [][]string{{"user"}, {"user", "net"}, {"time", "user"}, {"user", "pid", "mnt"}} {
			expectTarget(n, kinds, reexec.Target(n.PID, kinds...))
		}
		if specs.IsRoot() {
			n := newNeighbour(all[1:]...)
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
		n := newNeighbour(all...)
		target := reexec.Target(n.PID)
		for _, by := range ways[struct{}, map[string]string]() {
			Expect(by(whereami, struct{}{}, target)).To(HaveKeyWithValue("pid", n.ID("pid")))
		}
	})

	It("is good for many runs, at a time as well", func() {
		n := newNeighbour("user", "net", "pid")
		target := reexec.Target(n.PID)
		errs := make(chan error)
		for range 8 {
			go func() {
				ids, err := whereami.Call(background, struct{}{}, target)
				if err == nil && ids["net"] != n.ID("net") {
					ids, err = nil, fs.ErrInvalid
				}
				errs <- err
			}()
		}
		for range 8 {
			Expect(<-errs).To(Succeed())
		}
	})

	It("comes before the namespaces given by reference", func() {
		n := newNeighbour("user", "mnt", "uts", "net")
		// It is found only after mnt, and an ordinary user may join it only after user.
		inside := reexec.Namespace{Type: "uts", Path: filepath.Join(n.Hall, "uts")}
		references, target := reexec.Namespaces([]reexec.Namespace{inside}), reexec.Target(n.PID, "user", "mnt")
		expectTarget(n, []string{"user", "mnt", "uts"}, target, references)
		expectTarget(n, []string{"user", "mnt", "uts"}, references, target)
	})

	It("may not bring a type that there is already", func() {
		n := newNeighbour("user", "net", "time")
		for _, options := range [][]reexec.ReexecActionOption{
			{reexec.Target(n.PID), reexec.Namespaces(n.namespaces("net"))},
			{reexec.Target(n.PID, "user", "time"), reexec.Namespaces(n.namespaces("!time"))},
			{reexec.Target(n.PID), reexec.Target(n.PID)},
			{reexec.Target(n.PID, "user", "user")},
			// Those that would be left out count, too.
			{reexec.Target(unix.Getpid(), "uts", "uts")},
			{reexec.Target(unix.Getpid(), "net"), reexec.Namespaces(n.namespaces("net"))},
			{reexec.Unshare("user", "net"), reexec.Unshare("net")},
		} {
			for _, way := range waysIn {
				Expect(way.run(options...)).To(MatchError(ContainSubstring("cannot start child, reason: duplicate namespace order type")))
			}
		}
		_, err := reexec.NamespacesOf(unix.Getpid(), "uts", "uts")
		Expect(err).To(MatchError(ContainSubstring("duplicate")))
	})

	It("counts where the child gets new namespaces, but would have been left out otherwise", func() {
		specs.NeedsNamespaces("user", "net")
		if specs.IsRoot() {
			inNewNamespaces(unix.CLONE_NEWNET, func() {
				for _, anew := range []reexec.ReexecActionOption{
					reexec.Unshare("net"),
					reexec.Cmd(func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET} }),
				} {
					Expect(whereami.Call(background, struct{}{}, reexec.Target(unix.Gettid(), "net"), anew)).To(
						HaveKeyWithValue("net", specs.NamespaceID("thread-self", "net")))
				}
			})
		}
		// From a user namespace below there is no way back.
		_, err := whereami.Call(background, struct{}{}, reexec.Unshare("user", "net"), reexec.Target(unix.Getpid(), "net"))
		var join *reexec.JoinError
		Expect(errors.As(err, &join)).To(BeTrue())
		Expect(join.Type).To(Equal("net"))
		Expect(err).To(MatchError(unix.EPERM))

		ids, err := whereami.Call(background, struct{}{}, reexec.Unshare("user", "net"), reexec.Target(unix.Getpid()))
		Expect(err).NotTo(HaveOccurred())
		Expect(ids["net"]).NotTo(Equal(specs.NamespaceID("self", "net")), "without types none is asked for that one has")
	})

	It("must be there", func() {
		n := newNeighbour("user", "net")
		n.End()
		for _, pid := range []int{n.PID, 0, -1} {
			for _, way := range waysIn {
				err := way.run(reexec.Target(pid, "net"))
				Expect(err).To(MatchError(fs.ErrNotExist))
				Expect(err).To(MatchError(ContainSubstring("cannot start child, reason: cannot find net namespace of process %d: "+
					"no such file or directory (the process has ended, or", pid)))
				var join *reexec.JoinError
				Expect(errors.As(asActionError(err), &join)).To(BeTrue())
				Expect(join.Type).To(Equal("net"))
				Expect(join.Path).To(Equal(fmt.Sprintf("/proc/%d/ns/net", pid)))
			}
		}
	})

	It("must be there still when the run begins", func() {
		n := newNeighbour("user", "net", "pid")
		everything, net := reexec.Target(n.PID), reexec.Target(n.PID, "net")
		n.End()
		for _, way := range waysIn {
			Expect(way.run(everything)).To(MatchError(ContainSubstring("cannot find user namespace of process %d: no such file", n.PID)))
			Expect(way.run(net)).To(MatchError(fs.ErrNotExist))
		}
	})

	It("is not mistaken for another process that gets its PID", func() {
		n := newNeighbour("user", "net")
		everything, net := reexec.Target(n.PID), reexec.Target(n.PID, "net")
		n.End()
		end := standIn(int32(n.PID))
		defer end()
		Expect(reexec.NamespacesOf(n.PID)).To(BeEmpty(), "the other one is there")
		for _, way := range waysIn {
			Expect(way.run(everything)).To(MatchError(fs.ErrNotExist))
			Expect(way.run(net)).To(MatchError(fs.ErrNotExist))
		}
	})

	It("must have known types", func() {
		specs.NeedsCgo()
		for _, typ := range []string{"foo", "", "!net", "pid_for_children"} {
			for _, way := range waysIn {
				Expect(way.run(reexec.Target(unix.Getpid(), "net", typ))).To(MatchError(
					ContainSubstring("cannot start child, reason: unknown namespace type %q", typ)))
			}
		}
	})

	It("does not touch the types of its caller", func() {
		types := append(make([]string, 0, 20), "net", "uts", "ipc")
		_, err := reexec.NamespacesOf(0, types[:1]...)
		Expect(err).To(HaveOccurred())
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
