package integration

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// visit runs an action in these namespaces, which tells in which ones it was.
func visit(namespaces []reexec.Namespace, options ...reexec.ReexecActionOption) (ids map[string]string) {
	GinkgoHelper()
	Expect(reexec.RunReexecAction("namespaces",
		append(options, reexec.Namespaces(namespaces), reexec.Result(&ids))...)).To(Succeed())
	return ids
}

// expectVisit expects an action to be in exactly these namespaces of a neighbour.
func expectVisit(n *neighbour, namespaces ...reexec.Namespace) {
	GinkgoHelper()
	there := map[string]bool{}
	for _, ns := range namespaces {
		there[kind(ns.Type)] = true
	}
	for kind, id := range visit(namespaces) {
		if there[kind] {
			Expect(id).To(Equal(n.ID(kind)), "%s namespace, joined", kind)
		} else {
			Expect(id).To(Equal(specs.NamespaceID("self", kind)), "%s namespace, not joined", kind)
		}
	}
}

// kind returns a type without its bang.
func kind(typ string) string {
	if typ[0] == '!' {
		return typ[1:]
	}
	return typ
}

var _ = Describe("joining namespaces", func() {

	all := []string{"user", "mnt", "cgroup", "ipc", "net", "pid", "uts", "time"}

	Context("as root", func() {

		BeforeEach(specs.NeedsRoot)

		for _, typ := range all[1:] {
			It("joins "+typ, func() {
				n := newNeighbour(all[1:]...)
				expectVisit(n, n.namespace(typ))
			})
			It("joins !"+typ, func() {
				n := newNeighbour(all[1:]...)
				expectVisit(n, n.namespace("!"+typ))
			})
			It("joins !"+typ+" after !user", func() {
				n := newNeighbour(all...)
				expectVisit(n, n.namespaces("!user", "!"+typ)...)
			})
		}

		It("joins all but user", func() {
			n := newNeighbour(all[1:]...)
			expectVisit(n, n.namespaces("!cgroup", "!ipc", "!net", "!pid", "!uts", "!time", "mnt")...)
		})

	})

	// These are for root too.
	Context("as an ordinary user", func() {

		for _, typ := range all[1:] {
			for _, bang := range []string{"", "!"} {
				It("joins "+bang+typ+" after user", func() {
					n := newNeighbour(all...)
					expectVisit(n, n.namespaces("!user", bang+typ)...)
					expectVisit(n, n.namespaces("user", bang+typ)...)
				})
			}
		}

		It("joins user", func() {
			n := newNeighbour("user")
			expectVisit(n, n.namespace("user"))
			expectVisit(n, n.namespace("!user"))
		})

		It("joins all, with and without bangs, and in any order after user", func() {
			n := newNeighbour(all...)
			expectVisit(n, n.namespaces("!user", "!mnt", "!cgroup", "!ipc", "!net", "!pid", "!uts", "!time")...)
			expectVisit(n, n.namespaces("user", "mnt", "cgroup", "ipc", "net", "pid", "uts", "time")...)
			expectVisit(n, n.namespaces("time", "user", "!pid", "uts", "!net", "mnt", "ipc")...)
		})

	})

	DescribeTable("looks references up where the bang wants it",
		func(typ string) {
			n := newNeighbour(all...)
			inside := reexec.Namespace{Type: typ, Path: filepath.Join(n.Hall, typ)}
			expectVisit(n, n.namespace("!user"), n.namespace("mnt"), inside)
			expectVisit(n, n.namespace("!user"), n.namespace("!mnt"), inside)
			inside.Type = "!" + typ
			err := reexec.RunReexecAction("silent",
				reexec.Namespaces([]reexec.Namespace{n.namespace("!user"), n.namespace("mnt"), inside}))
			Expect(err).To(MatchError(And(
				ContainSubstring("package gons: invalid gons_"+typ+" reference"),
				ContainSubstring(inside.Path))))

			if specs.IsRoot() { // there is a way without the user namespace too
				n = newNeighbour(all[1:]...)
				inside = reexec.Namespace{Type: typ, Path: filepath.Join(n.Hall, typ)}
				expectVisit(n, n.namespace("mnt"), inside)
			}
		},
		Entry(nil, "net"),
		Entry(nil, "uts"),
		Entry(nil, "pid"),
		Entry(nil, "time"),
	)

	It("looks bang references up in the mount namespace of the parent", func() {
		n := newNeighbour(all...)
		// This link leads nowhere in the neighbour's mount namespace.
		for _, typ := range []string{"net", "pid", "time"} {
			link := filepath.Join(n.Hall, "outside-"+typ)
			Expect(os.Symlink(n.namespace(typ).Path, link)).To(Succeed())
			outside := reexec.Namespace{Type: "!" + typ, Path: link}
			expectVisit(n, n.namespace("!user"), n.namespace("mnt"), outside)
			outside.Type = typ
			Expect(reexec.RunReexecAction("silent",
				reexec.Namespaces([]reexec.Namespace{n.namespace("!user"), n.namespace("mnt"), outside}),
			)).To(MatchError(ContainSubstring("package gons: invalid gons_" + typ + " reference")))
		}
	})

	It("gives the action the capabilities of the user namespace", func() {
		n := newNeighbour("user", "pid", "uts")
		for _, types := range [][]string{{"!user", "!uts"}, {"!user", "!pid", "!uts"}} {
			Expect(reexec.RunReexecAction("set hostname", reexec.Namespaces(n.namespaces(types...)))).To(Succeed())
		}
	})

	Context("wrong references", func() {

		DescribeTable("are errors",
			func(ns reexec.Namespace, message string) {
				specs.NeedsNamespaces("user") // where the kernel forbids to join any, it says so instead
				err := reexec.RunReexecAction("silent", reexec.Namespaces([]reexec.Namespace{ns}))
				Expect(err).To(MatchError(ContainSubstring(message)))
			},
			Entry("unknown type", reexec.Namespace{Type: "foo", Path: "/proc/self/ns/net"}, "unknown namespace type"),
			Entry("no type", reexec.Namespace{Type: "!", Path: "/proc/self/ns/net"}, `unknown namespace type ""`),
			Entry("unknown type with bang", reexec.Namespace{Type: "!reexec_socket", Path: "7"}, `unknown namespace type "reexec_socket"`),
			Entry("two types", reexec.Namespace{Type: "net,uts", Path: "/proc/self/ns/net"}, `unknown namespace type "net,uts"`),
			Entry("no path", reexec.Namespace{Type: "net"}, "both need to be given"),
			Entry("no pid", reexec.Namespace{Type: "pid", Path: "/nowhere"}, `package gons: invalid gons_pid reference \"/nowhere\": No such file or directory"`),
			Entry("no PID namespace", reexec.Namespace{Type: "!pid", Path: "/proc/self/ns/net"}, `package gons: cannot join gons_pid using reference \"/proc/self/ns/net\": Invalid argument (is it a PID`),
			Entry("own user namespace", reexec.Namespace{Type: "user", Path: "/proc/self/ns/user"}, `package gons: cannot join gons_user`),
		)

		It("of the same type may not come twice", func() {
			n := newNeighbour(all...)
			for _, kind := range []string{"net", "pid", "time"} {
				Expect(reexec.RunReexecAction("silent", reexec.Namespaces(n.namespaces("!user", "!"+kind, "!"+kind)))).To(
					MatchError(ContainSubstring("duplicate namespace order type " + kind)))
			}
		})

		DescribeTable("that block do so no longer than the context lasts",
			func(typ string) {
				specs.NeedsCgo()
				fifo := filepath.Join(GinkgoT().TempDir(), "fifo")
				Expect(unix.Mkfifo(fifo, 0o600)).To(Succeed())
				reason := errors.New("enough is enough")
				ctx, cancel := context.WithTimeoutCause(context.Background(), 50*time.Millisecond, reason)
				defer cancel()
				err := reexec.RunReexecActionContext(ctx, "silent",
					reexec.Namespaces([]reexec.Namespace{{Type: typ, Path: fifo}}))
				Expect(err).To(MatchError(reason))
				Expect(err).To(MatchError(ContainSubstring("child was killed, reason: enough is enough")))
			},
			Entry(nil, "net"),
			Entry(nil, "!net"),
			Entry(nil, "pid"),
		)

		It("tell that the first process of a PID namespace has ended", func() {
			n := newNeighbour(all...)
			pid, err := os.Open(n.namespace("pid").Path)
			Expect(err).NotTo(HaveOccurred())
			defer pid.Close()
			user, err := os.Open(n.namespace("user").Path)
			Expect(err).NotTo(HaveOccurred())
			defer user.Close()
			self := "/proc/" + itoa(os.Getpid()) + "/fd/"
			n.End()
			err = reexec.RunReexecAction("silent", reexec.Namespaces([]reexec.Namespace{
				{Type: "!user", Path: self + itoa(int(user.Fd()))},
				{Type: "!pid", Path: self + itoa(int(pid.Fd()))},
			}))
			Expect(err).To(MatchError(And(
				ContainSubstring("package gons: cannot join gons_pid using reference"),
				ContainSubstring("first process has ended"))))
			Expect(err).To(MatchError(syscall.ENOMEM))
		})

	})

	Context("from a locked thread in namespaces of its own", func() {

		BeforeEach(specs.NeedsRoot)

		It("inherits them", func() {
			inNewNamespaces(unix.CLONE_NEWNET|unix.CLONE_NEWUTS, func() {
				ids := visit(nil)
				Expect(ids).To(HaveKeyWithValue("net", specs.NamespaceID("thread-self", "net")))
				Expect(ids).To(HaveKeyWithValue("uts", specs.NamespaceID("thread-self", "uts")))
			})
		})

		It("inherits them together with a PID namespace, and leaves the thread where it was", func() {
			n := newNeighbour("pid")
			inNewNamespaces(unix.CLONE_NEWNET|unix.CLONE_NEWUTS, func() {
				before := specs.NamespaceID("thread-self", "pid_for_children")
				for range 20 {
					ids := visit(n.namespaces("pid"))
					Expect(ids).To(HaveKeyWithValue("pid", n.ID("pid")))
					Expect(ids).To(HaveKeyWithValue("net", specs.NamespaceID("thread-self", "net")))
					Expect(specs.NamespaceID("thread-self", "pid_for_children")).To(Equal(before))
				}
			})
		})

		It("inherits fewer privileges, too", func() {
			specs.NeedsNobody()
			n := newNeighbour("pid")
			inNewNamespaces(unix.CLONE_NEWUTS, func() {
				dropPrivileges()
				for _, signal := range []syscall.Signal{0, syscall.SIGKILL} {
					var uid int
					Expect(reexec.RunReexecAction("uid", reexec.Result(&uid), reexec.Cmd(func(cmd *exec.Cmd) {
						cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: signal}
					}))).To(Succeed())
					Expect(uid).To(Equal(65534))
				}
				Expect(reexec.RunReexecAction("uid", reexec.Namespaces(n.namespaces("pid")))).To(MatchError(fs.ErrPermission))
			})
		})

		It("inherits them with a Pdeathsig", func() {
			inNewNamespaces(unix.CLONE_NEWNET, func() {
				ids := visit(nil, reexec.Cmd(func(cmd *exec.Cmd) {
					cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
				}))
				Expect(ids).To(HaveKeyWithValue("net", specs.NamespaceID("thread-self", "net")))
			})
		})

	})

	It("leaves no thread in a PID namespace", func() {
		n := newNeighbour(all...)
		errs := make(chan error)
		const runs = 50
		for range runs {
			go func() {
				errs <- reexec.RunReexecAction("silent", reexec.Namespaces(n.namespaces("!user", "!pid")))
			}()
		}
		for range runs {
			Expect(<-errs).To(Succeed())
		}
		Eventually(strayThreads).Should(BeEmpty())
	})

})
