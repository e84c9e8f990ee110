package birth

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// orNothing matches a text, or an empty one if there is no pattern.
func orNothing(pattern string) OmegaMatcher {
	if pattern == "" {
		return BeEmpty()
	}
	return MatchRegexp(`^ \(.*` + pattern + `.*\)$`)
}

var _ = DescribeTable("mistakes that need no child to be seen", func(message string, refs ...Ref) {
	_, err := Joins{Refs: refs}.Open(0)
	Expect(fmt.Sprint(err)).To(ContainSubstring(message))
},
	Entry("none", "<nil>"),
	Entry("none, with all types", "<nil>", Ref{Type: "!user", Path: "a"}, Ref{Type: "mnt", Path: "a"}, Ref{Type: "cgroup", Path: "a"}, Ref{Type: "ipc", Path: "a"},
		Ref{Type: "net", Path: "a"}, Ref{Type: "pid", Path: "a"}, Ref{Type: "!uts", Path: "a"}, Ref{Type: "!time", Path: "a"}),
	Entry("a type twice, once with a bang", "duplicate namespace order type time", Ref{Type: "time", Path: "a"}, Ref{Type: "uts", Path: "a"}, Ref{Type: "!time", Path: "b"}),
	Entry("no path", `both need to be given`, Ref{Type: "net", Path: ""}),
	Entry("an unknown type", `unknown namespace type "foo"`, Ref{Type: "net", Path: "a"}, Ref{Type: "foo", Path: "a"}),
)

var _ = DescribeTable("hints", func(err error, kind, path, hint string) {
	for _, err := range []error{err, fmt.Errorf("wrapped: %w", err)} {
		Expect(Hint(err, kind, path)).To(orNothing(hint))
	}
},
	Entry(nil, syscall.EACCES, "net", "/proc/1/ns/net", "trace"),
	Entry(nil, syscall.EACCES, "net", "/somewhere/net", ""),
	Entry(nil, syscall.ENOMEM, "pid", "/p", "first process has ended"),
	Entry(nil, syscall.ENOMEM, "net", "/n", ""),
	Entry(nil, fs.ErrNotExist, "net", "/proc/1/ns/net", "another PID namespace"),
	Entry(nil, syscall.ENOSYS, "", "", ""),
)

var _ = DescribeTable("hints about new namespaces", func(err error, hint string) {
	Expect(HintNew(&fs.PathError{Op: "fork/exec", Path: "/", Err: err})).To(orNothing(hint))
},
	Entry(nil, syscall.EINVAL, "kernel"),
	Entry(nil, syscall.ENOSPC, "limit"),
	Entry(nil, syscall.ENOENT, ""),
)

var _ = It("a path that holds a file is opened in the parent if it bears a bang", func() {
	f := specs.OK(os.Open("/proc/self/ns/net"))
	defer f.Close()
	held := specs.OK(File(f))
	refs := specs.OK(Joins{Refs: []Ref{held, {Type: "uts", Path: held.Path}, {Type: "!ipc", Path: "/proc/self/ns/ipc"}}}.Open(0))
	defer Close(refs)
	Expect(os.SameFile(specs.OK(refs[0].File.Stat()), specs.OK(f.Stat()))).To(BeTrue())
	Expect(refs[0].File.Name()).To(Equal(f.Name()))
	Expect(refs[1].File).To(BeNil(), "it is looked up where the child is by then")
	Expect(refs[2].File).To(BeNil(), "which is no open file")
})

var _ = It("a path that holds a descriptor closes it when nothing needs its memory any more", func() {
	fd := specs.OK(unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0))
	isOpen := func() bool {
		runtime.GC()
		_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		return err == nil
	}
	part := holding("/a", fd, "")[1:]
	Consistently(isOpen, "20ms").Should(BeTrue())
	Expect(part).To(Equal("a"))
	runtime.KeepAlive(part)
	part = ""
	Eventually(isOpen).Should(BeFalse())
})

var _ = Describe("a process that is held", func() {
	It("has only namespaces of known types", func() {
		Expect(Hold(os.Getpid(), []string{"net", "foo"}).Open(0)).Error().To(MatchError(`unknown namespace type "foo", known are user, mnt, cgroup, ipc, net, pid, uts, time`))
	})

	It("need not have a type that the kernel lacks", func() {
		unknown := "foo"
		kinds[len(kinds)-1], unknown = unknown, kinds[len(kinds)-1]
		defer func() { kinds[len(kinds)-1] = unknown }()
		p := Hold(os.Getpid(), nil)
		defer p.Close()
		Expect(p.Open(0)).To(BeEmpty())
	})

	It("is compared alike with and without /proc", func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for _, kind := range kinds {
			byProc, byPidfd := ownInode(kind), ownInodeByPidfd(kind)
			Expect(byProc).NotTo(BeZero())
			if byPidfd != 0 { // the kernel may have no such ioctl
				Expect(byPidfd).To(Equal(byProc), kind)
			}
		}
	})
})
