package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// byFile refers to a neighbour's namespaces by files, which are closed at once.
func (n *neighbour) byFile(kinds ...string) (refs []reexec.Namespace) {
	GinkgoHelper()
	for _, kind := range kinds {
		f, err := os.Open(n.namespace(kind).Path)
		Expect(err).NotTo(HaveOccurred())
		ref, err := reexec.NamespaceFile(f)
		Expect(err).NotTo(HaveOccurred())
		Expect(f.Close()).To(Succeed())
		refs = append(refs, ref)
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
		f, err := os.Open("/proc/self/ns/uts")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(f.Close)
	}
}

// holds counts the descriptors of this process that refer to a namespace.
func holds(id string) (count int) {
	GinkgoHelper()
	links, err := filepath.Glob("/proc/self/fd/*")
	Expect(err).NotTo(HaveOccurred())
	for _, link := range links {
		if target, _ := os.Readlink(link); target == id {
			count++
		}
	}
	return count
}

// afterGC has garbage collected before f looks.
func afterGC(f func() int) func() int {
	return func() int {
		runtime.GC()
		return f()
	}
}

var _ = Describe("a namespace that is held by a file", func() {

	AfterEach(func() { runtime.GC() }) // closes what references have held

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
		func() {
			for _, kind := range []string{"user", "net"} {
				f, err := os.Open(n.namespace(kind).Path)
				Expect(err).NotTo(HaveOccurred())
				refs = append(refs, must(reexec.NamespaceFile(f)))
			}
		}()
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
		id := n.ID("net")
		Expect(holds(id)).To(BeZero())
		refs := n.byFile("net", "net")
		Expect(holds(id)).To(Equal(2))
		copied := refs[0].Path
		refs[1] = refs[0]
		Eventually(afterGC(func() int { return holds(id) })).Should(Equal(1))
		refs = nil
		Consistently(afterGC(func() int { return holds(id) }), "20ms").Should(Equal(1))
		runtime.KeepAlive(copied)
		copied = ""
		Eventually(afterGC(func() int { return holds(id) })).Should(BeZero())
	})

	It("is not held by a path that was put together anew", func() {
		n := newNeighbour("user", "net")
		id := n.ID("net")
		path := strings.Clone(n.byFile("net")[0].Path)
		Eventually(afterGC(func() int { return holds(id) })).Should(BeZero())
		Expect(path).To(HavePrefix("/proc/"))
	})

})

var _ = Describe("namespaces by file", func() {

	AfterEach(func() { runtime.GC() }) // closes what references have held
	It("knows the type of each", func() {
		for _, ns := range specs.NamespaceFlags {
			f, err := os.Open("/proc/self/ns/" + ns.Kind)
			Expect(err).NotTo(HaveOccurred())
			defer f.Close()
			ref, err := reexec.NamespaceFile(f)
			Expect(err).NotTo(HaveOccurred())
			Expect(ref.Type).To(Equal("!" + ns.Kind))
			same, err := os.Stat(ref.Path)
			Expect(err).NotTo(HaveOccurred())
			info, err := f.Stat()
			Expect(err).NotTo(HaveOccurred())
			Expect(os.SameFile(same, info)).To(BeTrue())
		}
	})

	It("joins them all", func() {
		n := newNeighbour("user", "mnt", "cgroup", "ipc", "net", "pid", "uts", "time")
		var namespaces []reexec.Namespace
		for _, ns := range specs.NamespaceFlags {
			f, err := os.Open(n.namespace(ns.Kind).Path)
			Expect(err).NotTo(HaveOccurred())
			defer f.Close()
			ref, err := reexec.NamespaceFile(f)
			Expect(err).NotTo(HaveOccurred())
			namespaces = append(namespaces, ref)
		}
		expectVisit(n, namespaces...)
	})

	It("outlasts the process", func() {
		n := newNeighbour("user", "net")
		var namespaces []reexec.Namespace
		for _, kind := range []string{"user", "net"} {
			f, err := os.Open(n.namespace(kind).Path)
			Expect(err).NotTo(HaveOccurred())
			defer f.Close()
			ref, err := reexec.NamespaceFile(f)
			Expect(err).NotTo(HaveOccurred())
			namespaces = append(namespaces, ref)
		}
		id := n.ID("net")
		n.End()
		Expect(visit(namespaces)).To(HaveKeyWithValue("net", id))
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
		fd, err := unix.Open(fifo, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		defer unix.Close(fd)
		ref := reexec.Namespace{Type: "!net", Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)}
		ctx, cancel := context.WithTimeout(background, 100*time.Millisecond)
		defer cancel()
		Expect(inTime(func() error {
			return reexec.RunReexecActionContext(ctx, "silent", reexec.Namespaces([]reexec.Namespace{ref}))
		})).To(MatchError(context.DeadlineExceeded))
	})

	It("is an error without an open file", func() {
		_, err := reexec.NamespaceFile(nil)
		Expect(err).To(MatchError(os.ErrInvalid))
		f, err := os.Open("/proc/self/ns/net")
		Expect(err).NotTo(HaveOccurred())
		Expect(f.Close()).To(Succeed())
		_, err = reexec.NamespaceFile(f)
		Expect(err).To(MatchError(os.ErrClosed))
		Expect(err).To(MatchError(HavePrefix("gons/reexec: NamespaceFile: ")))
	})

	It("is an error if the file is no namespace that can be joined", func() {
		for _, path := range []string{"/dev/null", "/proc/self/status", "/"} {
			f, err := os.Open(path)
			Expect(err).NotTo(HaveOccurred())
			defer f.Close()
			_, err = reexec.NamespaceFile(f)
			Expect(err).To(MatchError(ContainSubstring(path + " is not a namespace")))
			Expect(err).To(MatchError(syscall.ENOTTY))
		}
	})

})
