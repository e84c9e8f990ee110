package integration

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// types returns the types of namespaces.
func types(namespaces []reexec.Namespace) (types []string) {
	for _, ns := range namespaces {
		types = append(types, ns.Type)
	}
	return types
}

var _ = Describe("namespaces of a process", func() {

	DescribeTable("finds those that are not shared, and a child can join them",
		func(kinds ...string) {
			n := newNeighbour(kinds...)
			namespaces, err := reexec.NamespacesOf(n.PID)
			Expect(err).NotTo(HaveOccurred())
			Expect(strings.Join(types(namespaces), " ")).To(Equal("!" + strings.Join(kinds, " !")))
			expectVisit(n, namespaces...)
		},
		Entry(nil, "user"),
		Entry(nil, "user", "net"),
		Entry(nil, "user", "pid"),
		Entry(nil, "user", "mnt", "pid", "uts"),
		Entry(nil, "user", "cgroup", "ipc"),
		Entry(nil, "user", "time"),
		Entry(nil, "user", "mnt", "cgroup", "ipc", "net", "pid", "uts", "time"),
	)

	DescribeTable("does so for root without a user namespace",
		func(kinds ...string) {
			specs.NeedsRoot()
			n := newNeighbour(kinds...)
			namespaces, err := reexec.NamespacesOf(n.PID)
			Expect(err).NotTo(HaveOccurred())
			Expect(strings.Join(types(namespaces), " ")).To(Equal("!" + strings.Join(kinds, " !")))
			expectVisit(n, namespaces...)
		},
		Entry(nil, "net"),
		Entry(nil, "pid"),
		Entry(nil, "mnt", "cgroup", "ipc", "net", "pid", "uts", "time"),
	)

	It("keeps to the types and their order", func() {
		n := newNeighbour("user", "net", "uts", "ipc", "time")
		namespaces, err := reexec.NamespacesOf(n.PID, "time", "uts", "mnt", "user", "net")
		Expect(err).NotTo(HaveOccurred())
		Expect(namespaces).To(Equal(n.namespaces("!time", "!uts", "!user", "!net")))
	})

	It("finds none of one's own", func() {
		Expect(reexec.NamespacesOf(os.Getpid())).To(BeEmpty())
	})

	It("compares with the calling thread", func() {
		specs.NeedsRoot()
		inNewNamespaces(unix.CLONE_NEWNET, func() {
			namespaces, err := reexec.NamespacesOf(os.Getpid())
			Expect(err).NotTo(HaveOccurred())
			Expect(types(namespaces)).To(Equal([]string{"!net"}))
		})
	})

	It("joins namespaces of other owners before the user namespace", func() {
		specs.NeedsRoot()
		specs.NeedsNamespaces("user", "net")
		cmd := exec.Command("unshare", "--net", "unshare", "--user", "--map-root-user", "cat")
		stdin, err := cmd.StdinPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(cmd.Start()).To(Succeed())
		defer func() {
			_ = stdin.Close()
			_ = cmd.Wait()
		}()
		n := neighbourOf(cmd.Process.Pid)
		Eventually(func() ([]byte, error) { return os.ReadFile(fmt.Sprintf("/proc/%d/comm", n.PID)) }).Should(BeEquivalentTo("cat\n"))
		namespaces, err := reexec.NamespacesOf(n.PID, "net", "user")
		Expect(err).NotTo(HaveOccurred())
		expectVisit(n, namespaces...)
	})

	It("is an error to ask for an unknown type", func() {
		for _, typ := range []string{"foo", "", "!", "!foo"} {
			_, err := reexec.NamespacesOf(os.Getpid(), "net", typ)
			Expect(err).To(MatchError(fmt.Sprintf("gons/reexec: NamespacesOf: unknown namespace type %q", typ)))
		}
	})

	It("is an error to ask for a type with bang", func() {
		specs.NeedsCgo()
		const advice = `unknown namespace type "!net": types are given without bang`
		_, err := reexec.NamespacesOf(os.Getpid(), "!net")
		Expect(err).To(MatchError("gons/reexec: NamespacesOf: " + advice))
		for _, option := range []reexec.ReexecActionOption{
			reexec.Target(os.Getpid(), "!net"),
			reexec.Unshare("user", "!net"),
		} {
			Expect(reexec.RunReexecAction("answer", option)).To(MatchError(HaveSuffix(advice)))
		}
	})

	It("is an error to ask for a vanished process", func() {
		n := newNeighbour("user", "net")
		n.End()
		for _, pid := range []int{n.PID, 0, -1} {
			_, err := reexec.NamespacesOf(pid, "net")
			Expect(err).To(MatchError(fs.ErrNotExist))
			Expect(err).To(MatchError(ContainSubstring("cannot find net namespace of process %d", pid)))
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
