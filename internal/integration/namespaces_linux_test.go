package integration

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

func types(namespaces []reexec.Namespace) (types []string) {
	for _, ns := range namespaces {
		types = append(types, ns.Type)
	}
	return types
}

var _ = Describe("namespaces of a process", func() {
	found := func(kinds ...string) {
		if kinds[0] != "user" {
			specs.NeedsRoot()
		}
		n := newNeighbour(kinds...)
		namespaces := must(reexec.NamespacesOf(n.PID))
		Expect(strings.Join(types(namespaces), " ")).To(Equal("!" + strings.Join(kinds, " !")))
		expectVisit(n, namespaces...)
	}

	DescribeTable("finds those that are not shared, and a child can join them", found,
		Entry(nil, "user"), Entry(nil, "user", "net"), Entry(nil, "user", "pid"), Entry(nil, "user", "mnt", "pid", "uts"),
		Entry(nil, "user", "cgroup", "ipc"), Entry(nil, "user", "time"),
		Entry(nil, "user", "mnt", "cgroup", "ipc", "net", "pid", "uts", "time"))

	DescribeTable("does so for root without a user namespace", found,
		Entry(nil, "net"), Entry(nil, "pid"), Entry(nil, "mnt", "cgroup", "ipc", "net", "pid", "uts", "time"))

	It("keeps to the types and their order", func() {
		n := newNeighbour("user", "net", "uts", "ipc", "time")
		Expect(reexec.NamespacesOf(n.PID, "time", "uts", "mnt", "user", "net")).To(Equal(n.namespaces("!time", "!uts", "!user", "!net")))
	})

	It("finds none of one's own", func() { Expect(reexec.NamespacesOf(os.Getpid())).To(BeEmpty()) })

	It("compares with the calling thread", func() {
		specs.NeedsRoot()
		inNewNamespaces(unix.CLONE_NEWNET, func() {
			Expect(types(must(reexec.NamespacesOf(os.Getpid())))).To(Equal([]string{"!net"}))
		})
	})

	It("joins namespaces of other owners before the user namespace", func() {
		specs.NeedsRoot()
		specs.NeedsNamespaces("user", "net")
		cmd := exec.Command("unshare", "--net", "unshare", "--user", "--map-root-user", "cat")
		stdin := must(cmd.StdinPipe())
		Expect(cmd.Start()).To(Succeed())
		defer func() { _ = stdin.Close(); _ = cmd.Wait() }()
		n := neighbourOf(cmd.Process.Pid)
		Eventually(func() ([]byte, error) { return os.ReadFile(fmt.Sprintf("/proc/%d/comm", n.PID)) }).Should(BeEquivalentTo("cat\n"))
		expectVisit(n, must(reexec.NamespacesOf(n.PID, "net", "user"))...)
	})

	It("is an error to ask for an unknown type, or one with bang", func() {
		for _, typ := range []string{"foo", "", "!", "!foo", "!net"} {
			Expect(reexec.NamespacesOf(os.Getpid(), "net", typ)).Error().To(MatchError(
				fmt.Sprintf("gons/reexec: NamespacesOf: unknown namespace type %q, known are user, mnt, cgroup, ipc, net, pid, uts, time", typ)))
		}
	})

	It("is an error to ask for a vanished process", func() {
		n := newNeighbour("user", "net")
		n.End()
		for _, pid := range []int{n.PID, 0, -1} {
			Expect(reexec.NamespacesOf(pid, "net")).Error().To(And(MatchError(fs.ErrNotExist),
				MatchError(ContainSubstring("cannot find net namespace of process %d", pid))))
		}
	})

	It("is an error to ask for a foreign process", func() {
		if _, err := os.Readlink("/proc/1/ns/net"); err == nil {
			Skip("needs a process that one may not look at")
		}
		_, err := reexec.NamespacesOf(1, "net")
		Expect(err).To(Or(MatchError(fs.ErrPermission), MatchError(fs.ErrNotExist)), "the latter with hidepid (proc(5))")
		Expect(err).To(MatchError(ContainSubstring("cannot find net namespace of process 1")))
	})
})

// visit runs an action in these namespaces, which tells in which ones it was.
func visit(namespaces []reexec.Namespace, options ...option) (ids map[string]string) {
	GinkgoHelper()
	Expect(reexec.RunReexecAction("namespaces", append(options, reexec.Namespaces(namespaces), reexec.Result(&ids))...)).To(Succeed())
	return ids
}

// expectVisit expects an action to be in exactly these namespaces of a neighbour.
func expectVisit(n *neighbour, namespaces ...reexec.Namespace) {
	GinkgoHelper()
	var kinds []string
	for _, ns := range namespaces {
		kinds = append(kinds, kind(ns.Type))
	}
	expectIn(n, kinds, visit(namespaces))
}

// expectIn expects namespaces to be a neighbour's, if they are of these types, and this process' otherwise.
func expectIn(n *neighbour, kinds []string, ids map[string]string) {
	GinkgoHelper()
	for kind, id := range ids {
		if slices.Contains(kinds, kind) {
			Expect(id).To(Equal(n.ID(kind)), "%s namespace, joined", kind)
		} else {
			Expect(id).To(Equal(specs.NamespaceID("self", kind)), "%s namespace, not joined", kind)
		}
	}
}

func kind(typ string) string { return strings.TrimPrefix(typ, "!") }

var allKinds = []string{"user", "mnt", "cgroup", "ipc", "net", "pid", "uts", "time"}

var _ = Describe("joining namespaces", func() {

	Context("as root", func() {
		BeforeEach(specs.NeedsRoot)

		for _, typ := range allKinds[1:] {
			It("joins "+typ, func() {
				n := newNeighbour(allKinds[1:]...)
				expectVisit(n, n.namespace(typ))
				expectVisit(n, n.namespace("!"+typ))
			})
		}

		It("joins all but user", func() {
			n := newNeighbour(allKinds[1:]...)
			expectVisit(n, n.namespaces("!cgroup", "!ipc", "!net", "!pid", "!uts", "!time", "mnt")...)
		})
	})

	// These are for root too.
	Context("as an ordinary user", func() {
		for _, kind := range allKinds[1:] {
			for _, typ := range []string{kind, "!" + kind} {
				It("joins "+typ+" after user", func() {
					n := newNeighbour(allKinds...)
					expectVisit(n, n.namespaces("!user", typ)...)
					expectVisit(n, n.namespaces("user", typ)...)
				})
			}
		}

		It("joins user", func() {
			n := newNeighbour("user")
			expectVisit(n, n.namespace("user"))
			expectVisit(n, n.namespace("!user"))
		})

		It("joins all, with and without bangs, and in any order after user", func() {
			n := newNeighbour(allKinds...)
			expectVisit(n, n.namespaces("!user", "!mnt", "!cgroup", "!ipc", "!net", "!pid", "!uts", "!time")...)
			expectVisit(n, n.namespaces(allKinds...)...)
			expectVisit(n, n.namespaces("time", "user", "!pid", "uts", "!net", "mnt", "ipc")...)
		})
	})

	DescribeTable("looks references up where the bang wants it", func(typ string) {
		n := newNeighbour(allKinds...)
		inside := reexec.Namespace{Type: typ, Path: filepath.Join(n.Hall, typ)}
		expectVisit(n, n.namespace("!user"), n.namespace("mnt"), inside)
		expectVisit(n, n.namespace("!user"), n.namespace("!mnt"), inside)
		inside.Type = "!" + typ
		Expect(reexec.RunReexecAction("silent", joining(n.namespace("!user"), n.namespace("mnt"), inside))).To(MatchError(And(
			ContainSubstring("package gons: invalid gons_"+typ+" reference"), ContainSubstring(inside.Path))))

		if specs.IsRoot() { // there is a way without the user namespace too
			n = newNeighbour(allKinds[1:]...)
			inside = reexec.Namespace{Type: typ, Path: filepath.Join(n.Hall, typ)}
			expectVisit(n, n.namespace("mnt"), inside)
		}
	},
		Entry(nil, "net"), Entry(nil, "uts"), Entry(nil, "pid"), Entry(nil, "time"))

	It("looks bang references up in the mount namespace of the parent", func() {
		n := newNeighbour(allKinds...)
		// This link leads nowhere in the neighbour's mount namespace.
		for _, typ := range []string{"net", "pid", "time"} {
			link := filepath.Join(n.Hall, "outside-"+typ)
			Expect(os.Symlink(n.Path(typ), link)).To(Succeed())
			outside := reexec.Namespace{Type: "!" + typ, Path: link}
			expectVisit(n, n.namespace("!user"), n.namespace("mnt"), outside)
			outside.Type = typ
			Expect(reexec.RunReexecAction("silent", joining(n.namespace("!user"), n.namespace("mnt"), outside))).To(MatchError(ContainSubstring("package gons: invalid gons_" + typ + " reference")))
		}
	})

	It("gives the action the capabilities of the user namespace", func() {
		n := newNeighbour("user", "pid", "uts")
		Expect(reexec.RunReexecAction("set hostname", n.in("!user", "!uts"))).To(Succeed())
		Expect(reexec.RunReexecAction("set hostname", n.in("!user", "!pid", "!uts"))).To(Succeed())
	})

	Context("wrong references", func() {
		DescribeTable("are errors", func(ns reexec.Namespace, message string) {
			specs.NeedsNamespaces("user") // where the kernel forbids to join any, it says so instead
			Expect(reexec.RunReexecAction("silent", joining(ns))).To(MatchError(ContainSubstring(message)))
		},
			Entry("two types", reexec.Namespace{Type: "net,uts", Path: "/proc/self/ns/net"}, `unknown namespace type "net,uts"`),
			Entry("no path", reexec.Namespace{Type: "net"}, "both need to be given"))

		It("of the same type may not come twice", func() {
			n := newNeighbour(allKinds...)
			for _, kind := range []string{"net", "pid", "time"} {
				Expect(reexec.RunReexecAction("silent", n.in("!user", "!"+kind, "!"+kind))).To(
					MatchError(ContainSubstring("duplicate namespace order type " + kind)))
			}
		})

		DescribeTable("that block do so no longer than the context lasts", func(typ string) {
			specs.NeedsCgo()
			fifo := filepath.Join(GinkgoT().TempDir(), "fifo")
			Expect(unix.Mkfifo(fifo, 0o600)).To(Succeed())
			err := reexec.RunReexecActionContext(within(50*time.Millisecond, errEnough), "silent", joining(reexec.Namespace{Type: typ, Path: fifo}))
			Expect(err).To(And(MatchError(errEnough), MatchError(ContainSubstring("child was killed, reason: enough is enough"))))
		},
			Entry(nil, "net"), Entry(nil, "!net"), Entry(nil, "pid"))
	})

	Context("from a locked thread in namespaces of its own", func() {
		BeforeEach(specs.NeedsRoot)

		It("inherits them", func() {
			inNewNamespaces(unix.CLONE_NEWNET|unix.CLONE_NEWUTS, func() {
				Expect(visit(nil)).To(And(HaveKeyWithValue("net", specs.NamespaceID("thread-self", "net")),
					HaveKeyWithValue("uts", specs.NamespaceID("thread-self", "uts"))))
			})
		})

		It("inherits them together with a PID namespace, and leaves the thread where it was", func() {
			n := newNeighbour("pid")
			inNewNamespaces(unix.CLONE_NEWNET|unix.CLONE_NEWUTS, func() {
				before := specs.NamespaceID("thread-self", "pid_for_children")
				for range often(20) {
					Expect(visit(n.namespaces("pid"))).To(And(HaveKeyWithValue("pid", n.ID("pid")),
						HaveKeyWithValue("net", specs.NamespaceID("thread-self", "net"))))
					Expect(specs.NamespaceID("thread-self", "pid_for_children")).To(Equal(before))
				}
			})
		})

		It("inherits fewer privileges, too", func() {
			specs.NeedsNobody()
			n := newNeighbour("pid")
			inNewNamespaces(unix.CLONE_NEWUTS, func() {
				dropPrivileges()
				Expect(run[int]("uid")).To(Equal(65534))
				Expect(run[int]("uid", mortal)).To(Equal(65534))
				Expect(reexec.RunReexecAction("uid", n.in("pid"))).To(MatchError(fs.ErrPermission))
			})
		})

		It("inherits them with a Pdeathsig", func() {
			inNewNamespaces(unix.CLONE_NEWNET, func() {
				Expect(visit(nil, mortal)).To(HaveKeyWithValue("net", specs.NamespaceID("thread-self", "net")))
			})
		})
	})

	It("leaves no thread in a PID namespace", func() {
		n := newNeighbour(allKinds...)
		together(often(50), func(int) error { return reexec.RunReexecAction("silent", n.in("!user", "!pid")) })
		Eventually(strayThreads).Should(BeEmpty())
	})
})

// byFile refers to a neighbour's namespaces by files, which are closed at once.
func (n *neighbour) byFile(kinds ...string) (refs []reexec.Namespace) {
	GinkgoHelper()
	for _, kind := range kinds {
		f := must(os.Open(n.Path(kind)))
		refs = append(refs, must(reexec.NamespaceFile(f)))
		Expect(f.Close()).To(Succeed())
	}
	return refs
}

// collectGarbage has all go that is garbage, and has other files take over the numbers of
// those that are closed by it, until the end of the spec.
func collectGarbage() {
	GinkgoHelper()
	for range 3 {
		runtime.GC()
	}
	for range 20 {
		opened("/proc/self/ns/uts")
	}
}

// holders returns a function that counts the open files of a namespace, after garbage was collected.
func holders(id string) func() int {
	return afterGC(func() (count int) {
		for _, link := range must(filepath.Glob("/proc/self/fd/*")) {
			if target, _ := os.Readlink(link); target == id {
				count++
			}
		}
		return count
	})
}

// afterGC has garbage collected before f looks.
func afterGC(f func() int) func() int {
	return func() int {
		runtime.GC()
		return f()
	}
}

var _ = Describe("a namespace that is held by a file", func() {
	It("stays the same after its file was closed", func() {
		n := newNeighbour("user", "net", "pid", "time")
		refs := n.byFile("user", "net", "pid", "time")
		collectGarbage()
		expectVisit(n, refs...)
		id := n.ID("net")
		n.End()
		collectGarbage()
		Expect(visit(refs[:2])).To(HaveKeyWithValue("net", id))
	})

	It("stays the same when its file is garbage", func() {
		n := newNeighbour("user", "net")
		var refs []reexec.Namespace
		for _, kind := range []string{"user", "net"} {
			refs = append(refs, must(reexec.NamespaceFile(must(os.Open(n.Path(kind))))))
		}
		collectGarbage()
		expectVisit(n, refs...)
	})

	It("is held by each copy of the reference, and by what options make of it", func() {
		n := newNeighbour("user", "net")
		refs := n.byFile("user", "net")
		copies := []reexec.Namespace{{Type: refs[0].Type, Path: refs[0].Path}, {Type: "!net", Path: refs[1].Path}}
		action := reexec.NewReexecAction("namespaces", reexec.Namespaces(copies))
		refs, copies = nil, nil
		collectGarbage()
		var ids map[string]string
		action.Result = &ids
		Expect(action.Run()).To(Succeed())
		Expect(ids).To(And(HaveKeyWithValue("user", n.ID("user")), HaveKeyWithValue("net", n.ID("net"))))
	})

	It("is held in a map, and on a channel", func() {
		n := newNeighbour("user", "net")
		byKind, queue := map[string]reexec.Namespace{}, make(chan reexec.Namespace, 1)
		func() {
			refs := n.byFile("user", "net")
			byKind["user"] = refs[0]
			queue <- refs[1]
		}()
		collectGarbage()
		expectVisit(n, byKind["user"], <-queue)
	})

	It("is let go with the last reference", func() {
		n := newNeighbour("user", "net")
		held := holders(n.ID("net"))
		Expect(held()).To(BeZero())
		refs := n.byFile("net", "net")
		Expect(held()).To(Equal(2))
		copied := refs[0].Path
		refs[1] = refs[0]
		Eventually(held).Should(Equal(1))
		refs = nil
		Consistently(held, "20ms").Should(Equal(1))
		runtime.KeepAlive(copied)
		copied = ""
		Eventually(held).Should(BeZero())
	})

	It("is not held by a path that was put together anew", func() {
		n := newNeighbour("user", "net")
		path := strings.Clone(n.byFile("net")[0].Path)
		Eventually(holders(n.ID("net"))).Should(BeZero())
		Expect(path).To(HavePrefix("/proc/"))
	})
})

var _ = Describe("namespaces by file", func() {
	It("knows the type of each", func() {
		for _, ns := range specs.NamespaceFlags {
			f := opened("/proc/self/ns/" + ns.Kind)
			ref := must(reexec.NamespaceFile(f))
			Expect(ref.Type).To(Equal("!" + ns.Kind))
			Expect(os.SameFile(must(os.Stat(ref.Path)), must(f.Stat()))).To(BeTrue())
		}
	})

	It("joins them all", func() {
		n := newNeighbour(allKinds...)
		expectVisit(n, n.byFile(allKinds...)...)
	})

	It("is joined from a process that is not dumpable", func() {
		n := newNeighbour("user", "net")
		namespaces := n.byFile("user", "net")
		Expect(unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)).To(Succeed())
		defer func() { Expect(unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)).To(Succeed()) }()
		Expect(visit(namespaces)).To(HaveKeyWithValue("net", n.ID("net")))
	})

	It("does not keep a run waiting if somebody has made up its path, and that is a FIFO's", func() {
		specs.NeedsCgo()
		fifo := filepath.Join(GinkgoT().TempDir(), "fifo")
		Expect(unix.Mkfifo(fifo, 0o600)).To(Succeed())
		fd := must(unix.Open(fifo, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0))
		defer unix.Close(fd)
		ref := reexec.Namespace{Type: "!net", Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)}
		Expect(inTime(func() error {
			return reexec.RunReexecActionContext(within(100*time.Millisecond, nil), "silent", joining(ref))
		})).To(MatchError(context.DeadlineExceeded))
	})

	It("is an error without an open file", func() {
		Expect(reexec.NamespaceFile(nil)).Error().To(MatchError(os.ErrInvalid))
		f := must(os.Open("/proc/self/ns/net"))
		Expect(f.Close()).To(Succeed())
		Expect(reexec.NamespaceFile(f)).Error().To(And(MatchError(os.ErrClosed), MatchError(HavePrefix("gons/reexec: NamespaceFile: "))))
	})

	It("is an error if the file is no namespace that can be joined", func() {
		for _, path := range []string{"/dev/null", "/proc/self/status", "/"} {
			Expect(reexec.NamespaceFile(opened(path))).Error().To(And(MatchError(ContainSubstring(path+" is not a namespace")), MatchError(syscall.ENOTTY)))
		}
	})
})

var _ = DescribeTable("a reference is a path as any other, so it may be",
	func(path func(n *neighbour, dir, kind string) string) {
		kinds := []string{"net", "pid", "time"}
		n := newNeighbour("user", "net", "pid", "time")
		dir := GinkgoT().TempDir()
		for _, kind := range kinds {
			path := path(n, dir, kind)
			for _, typ := range []string{kind, "!" + kind} {
				ids := visit([]reexec.Namespace{n.namespace("!user"), {Type: typ, Path: path}},
					reexec.Cmd(func(cmd *exec.Cmd) { cmd.Dir = dir }))
				Expect(ids).To(HaveKeyWithValue(kind, n.ID(kind)), typ)
			}
		}
	},
	Entry("relative to the working directory of the child", func(n *neighbour, dir, kind string) string {
		link(n.Path(kind), filepath.Join(dir, kind))
		return kind
	}),
	Entry("relative, and upwards", func(n *neighbour, dir, kind string) string {
		return must(filepath.Rel(dir, n.Path(kind)))
	}),
	Entry("through a link and back up, which leads elsewhere than the text of the path", func(n *neighbour, dir, kind string) string {
		link(n.Path(kind), filepath.Join(dir, kind))
		deep := filepath.Join(dir, "deep-"+kind)
		Expect(os.MkdirAll(filepath.Join(deep, "inside"), 0o700)).To(Succeed())
		link(n.Path(kind), filepath.Join(deep, "it"))
		link("/proc/self/ns/uts", filepath.Join(dir, "it-"+kind)) // what must not be found
		link(filepath.Join(deep, "inside"), filepath.Join(dir, "door-"+kind))
		return dir + "/door-" + kind + "/../it"
	}),
	Entry("of bytes that are no UTF-8", named("\xff\xfe\x80 \"'\\")), Entry("with an equals sign, a comma and a bang", named("!a=b,c ")),
	Entry("with the word for a variable of gons", named(" gons_user ")))

func named(name string) func(n *neighbour, dir, kind string) string {
	return func(n *neighbour, dir, kind string) string {
		path := filepath.Join(dir, name+kind)
		link(n.Path(kind), path)
		return path
	}
}

func link(target, path string) {
	GinkgoHelper()
	Expect(os.Symlink(target, path)).To(Succeed())
}

var _ = Describe("a reference that leads nowhere", func() {
	DescribeTable("is told as it is", func(path, shown string) {
		for _, typ := range []string{"net", "!pid", "time"} {
			expectJoinError(reexec.Namespace{Type: typ, Path: path}, syscall.ENOENT,
				"invalid gons_"+kind(typ)+" reference \""+shown+"\": No such file or directory")
		}
	},
		Entry("with the word for a variable of gons", "/nowhere gons_user x", "/nowhere gons_user x"),
		Entry("that is no UTF-8", "/nowhere\xff", `/nowhere\xff`), Entry("relative", "no/where", "no/where"))

	It("is an error of exec if it cannot be a path at all", func() {
		for _, typ := range []string{"net", "time"} {
			asActionError(reexec.RunReexecAction("silent", joining(reexec.Namespace{Type: typ, Path: "/a\x00b"})))
		}
	})
})

var _ = DescribeTable("types that there are not start nothing",
	func(typ, unknown string) {
		specs.NeedsCgo()
		expectInEveryWay(MatchError(ContainSubstring("cannot start child, reason: unknown namespace type %q", unknown)),
			joining(reexec.Namespace{Type: typ, Path: "/proc/self/ns/net"}), reexec.Cmd(func(cmd *exec.Cmd) { cmd.Path = "/nowhere" }))
	},
	Entry(nil, "foo", "foo"), Entry(nil, "!foo", "foo"), Entry(nil, "!", ""), Entry(nil, "", ""), Entry(nil, "!!net", "!net"), Entry(nil, "NET", "NET"),
	Entry(nil, "order", "order"), Entry(nil, "pid_for_children", "pid_for_children"), Entry(nil, "reexec_socket", "reexec_socket"))

// Other specs join time namespaces together with the rest; these are about what is special about them.
var _ = Describe("a time namespace", func() {
	It("is where functions run, too", func() {
		n := newNeighbour("user", "time")
		for _, typ := range []string{"time", "!time"} {
			expectTarget(n, []string{"user", "time"}, n.in(typ, "!user"))
		}
	})

	It("is joined after all others, which so decide about its privileges", func() {
		n := newNeighbour("user", "time")
		expectVisit(n, n.namespaces("time", "user")...)
		expectVisit(n, n.namespaces("!time", "!user")...)
	})

	It("that is new for a child is where it runs", func() {
		specs.NeedsNamespaces("user", "time")
		for _, more := range [][]string{nil, {"mnt", "pid", "net"}} {
			Expect(whereami.Call(background, struct{}{}, reexec.Unshare("user", "time"), reexec.Unshare(more...))).To(
				HaveKeyWithValue("time", Not(Equal(specs.NamespaceID("self", "time")))))
		}
	})

	Context("that a locked thread has made for its children", func() {
		BeforeEach(specs.NeedsRoot)

		inNewTime := func(f func(id string)) {
			GinkgoHelper()
			inNewNamespaces(unix.CLONE_NEWTIME, func() {
				id := specs.NamespaceID("thread-self", "time_for_children")
				Expect(id).NotTo(Equal(specs.NamespaceID("thread-self", "time")))
				if err := exec.Command("/bin/true").Run(); errors.Is(err, syscall.EINVAL) { // Linux before 6.3
					Skip("this kernel lets Go start no program from such a thread")
				}
				f(id)
			})
		}

		It("is theirs", func() {
			n := newNeighbour("net", "pid")
			inNewTime(func(id string) {
				for _, types := range [][]string{{"net"}, {"!pid"}, {"pid", "net"}} {
					Expect(visit(n.namespaces(types...))).To(HaveKeyWithValue("time", id))
				}
			})
		})

		It("is theirs without further namespaces, if that is what executing a program does", func() {
			inNewTime(func(id string) {
				if out, _ := exec.Command("readlink", "/proc/self/ns/time").Output(); string(out) != id+"\n" {
					Skip("executing a program does not enter the time namespace on this kernel")
				}
				Expect(visit(nil)).To(HaveKeyWithValue("time", id))
			})
		})

		It("gives way to the one that they are to join", func() {
			n := newNeighbour("time")
			inNewTime(func(string) {
				for _, typ := range []string{"time", "!time"} {
					Expect(visit(n.namespaces(typ))).To(HaveKeyWithValue("time", n.ID("time")))
				}
			})
		})

		It("is the thread's own to NamespacesOf", func() {
			inNewTime(func(string) {
				start(whereami)
				Expect(reexec.NamespacesOf(onlyChild())).To(BeEmpty())
				Expect(types(must(reexec.NamespacesOf(unix.Getpid())))).To(Equal([]string{"!time"}))
			})
		})
	})
})

func onlyChild() int {
	GinkgoHelper()
	all := children()
	Expect(all).To(HaveLen(1))
	return firstWord(all[0])
}
