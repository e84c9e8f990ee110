package integration

import (
	"errors"
	"os/exec"
	"syscall"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// Other specs join time namespaces together with the rest; these are about
// what is special about them.
var _ = Describe("a time namespace", func() {

	It("is where functions run, too", func() {
		n := newNeighbour("user", "time")
		for _, typ := range []string{"time", "!time"} {
			Expect(whereami.Call(background, struct{}{}, reexec.Namespaces(n.namespaces(typ, "!user")))).To(And(
				HaveKeyWithValue("time", n.ID("time")), HaveKeyWithValue("user", n.ID("user"))))
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
				out, err := exec.Command("readlink", "/proc/self/ns/time").Output()
				if err != nil || string(out) != id+"\n" {
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
				worker, err := whereami.Start(background)
				Expect(err).NotTo(HaveOccurred())
				defer worker.Close()
				Expect(reexec.NamespacesOf(onlyChild())).To(BeEmpty())
				Expect(types(must(reexec.NamespacesOf(unix.Getpid())))).To(Equal([]string{"!time"}))
			})
		})

	})

})

// onlyChild returns the PID of the only child of this process.
func onlyChild() int {
	GinkgoHelper()
	all := children()
	Expect(all).To(HaveLen(1))
	return firstWord(all[0])
}

// must returns a value that goes with no error.
func must[T any](value T, err error) T {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return value
}
