package integration

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// neighbourBy is a neighbour that a command makes, which must end by executing cat. Without a credential it is this user's.
func neighbourBy(who *syscall.Credential, command ...string) *neighbour {
	GinkgoHelper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Credential: who}, "/"
	return neighbourWith(cmd)
}

// neighbourWith is a neighbour that copies stdin to stdout.
func neighbourWith(cmd *exec.Cmd) *neighbour {
	GinkgoHelper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin, stdout := must(cmd.StdinPipe()), must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		Skip("needs " + cmd.Path + ": " + err.Error())
	}
	end := sync.OnceFunc(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	DeferCleanup(end)
	_, _ = io.WriteString(stdin, "x")
	if n, _ := stdout.Read(make([]byte, 1)); n == 0 {
		end()
		Skip("needs what the system forbids: " + stderr.String())
	}
	n := neighbourOf(cmd.Process.Pid)
	n.End = end
	return n
}

// unshares returns a command that makes namespaces one after the other, in what is below the last.
func unshares(steps ...string) (command []string) {
	for _, step := range steps {
		command = append(append(command, "unshare"), strings.Fields(step)...)
	}
	return append(command, "cat")
}

// needsOwn skips a spec if a neighbour is not in its time namespace: before Linux 6.3 only its children are.
func needsOwn(n *neighbour, kinds string) {
	GinkgoHelper()
	if strings.Contains(kinds, "time") && n.ID("time") == specs.NamespaceID("self", "time") {
		Skip("needs to enter a time namespace by executing a program")
	}
}

// asOrdinaryUser runs f as a user without privileges.
func asOrdinaryUser(f func()) {
	GinkgoHelper()
	if os.Geteuid() == 0 {
		specs.NeedsNobody()
	}
	onOwnThread(func() {
		dropPrivileges()
		f()
	})
}

// ordinary is the user of asOrdinaryUser.
func ordinary() *syscall.Credential {
	if os.Geteuid() == 0 {
		return specs.Nobody
	}
	return nil
}

// userNS are the options of unshare(1) for a user namespace, whose root the caller is.
const userNS = "--user --map-root-user"

var _ = Describe("a target whose namespaces have several owners", func() {

	DescribeTable("has all of them joined by root",
		func(kinds string, steps ...string) {
			specs.NeedsRoot()
			specs.NeedsNamespaces("user", "mnt", "net", "time")
			n := neighbourBy(nil, unshares(steps...)...)
			needsOwn(n, kinds)
			expectTarget(n, strings.Fields(kinds), reexec.Target(n.PID))
			expectTarget(n, strings.Fields(kinds), reexec.Target(n.PID), reexec.PreserveCredentials())
		},
		Entry("one that root owns", "user net", "--net", userNS),
		Entry("a mount namespace that root owns", "user mnt", "--mount", userNS),
		Entry("some below, some above", "user net uts ipc", "--net", userNS+" --uts --ipc"),
		Entry("all above but one", "user mnt cgroup ipc net uts", "--mount --cgroup --ipc --net", userNS+" --uts"),
		Entry("a time namespace that root owns", "user time net", "--time", userNS+" --net"),
		Entry("a time namespace that it owns", "user time net", "--net", userNS+" --time"),
		Entry("three owners", "user net uts ipc", "--net", userNS+" --uts", userNS+" --ipc"),
	)

	It("has a PID namespace of another owner joined", func() {
		specs.NeedsRoot()
		specs.NeedsNamespaces("user", "pid")
		above := neighbourBy(nil, unshares("--pid --fork", userNS)...)
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", above.PID))
		if err != nil {
			Skip("needs a kernel that tells the children of a process: " + err.Error())
		}
		n := neighbourOf(atoi(strings.TrimSpace(string(children))))
		expectTarget(n, []string{"user", "pid"}, reexec.Target(n.PID))
	})

	DescribeTable("has all of them joined by the ordinary user who made them",
		func(kinds string, steps ...string) {
			specs.NeedsNamespaces("user", "net", "uts", "ipc", "mnt", "time")
			n := neighbourBy(ordinary(), unshares(steps...)...)
			needsOwn(n, kinds)
			asOrdinaryUser(func() {
				expectTarget(n, strings.Fields(kinds), reexec.Target(n.PID))
				expectTarget(n, strings.Fields(kinds), reexec.Target(n.PID), reexec.PreserveCredentials())
			})
		},
		Entry("nested", "user net uts", userNS+" --net", userNS+" --uts"),
		Entry("nested, with mounts and time above", "user mnt time uts", userNS+" --mount --time", userNS+" --uts"),
		Entry("nested twice, the outer owner last", "user uts net ipc", userNS+" --uts", userNS+" --net", userNS+" --ipc"),
		Entry("nested twice, the outer owner first", "user net uts ipc", userNS+" --net", userNS+" --uts", userNS+" --ipc"),
		Entry("nested, with nothing of its own", "user net", userNS+" --net", userNS),
	)

	It("keeps to the order of the types, and is listed in the one in which it can be joined", func() {
		specs.NeedsRoot()
		specs.NeedsNamespaces("user", "net", "uts")
		n := neighbourBy(nil, unshares("--net", userNS+" --uts")...)
		expectTarget(n, []string{"user", "net"}, reexec.Target(n.PID, "net", "user"))
		expectJoinError(n.namespace("net"), syscall.EPERM, fmt.Sprintf("cannot join gons_net using reference %q: Operation not permitted "+
			"(the user namespace that is joined before does not own it: name net before user, "+
			"which takes CAP_SYS_ADMIN in the user namespace that owns it)", n.Path("net")), reexec.Target(n.PID, "user", "uts", "net"))
		Expect(reexec.NamespacesOf(n.PID)).To(Equal(n.namespaces("!net", "!user", "!uts")))
		expectVisit(n, must(reexec.NamespacesOf(n.PID))...)
	})
})

var _ = Describe("a target by type, without its user namespace", func() {
	It("has that joined first by an ordinary user", func() {
		specs.NeedsCgo()
		n := neighbourBy(ordinary(), unshares(userNS+" --net --uts --mount --time")...)
		needsOwn(n, "time")
		asOrdinaryUser(func() {
			for _, kinds := range [][]string{{"net"}, {"uts", "net"}, {"mnt", "net"}, {"time"}} {
				expectTarget(n, append(kinds, "user"), reexec.Target(n.PID, kinds...))
			}
			Expect(beSomebody.Call(background, deeds{}, reexec.Target(n.PID, "net"))).To(HaveField("User", "0 0 0 0"))
			expectTarget(n, []string{"user", "net", "uts"}, reexec.Target(n.PID, "net"), reexec.Target(n.PID, "uts"))
			expectTarget(n, []string{"user", "net"}, reexec.Target(n.PID, "user"), reexec.Target(n.PID, "net"))
			expectTarget(n, []string{"user"}, reexec.Target(n.PID, "user"))
		})
	})

	It("has the owner joined, not what is below", func() {
		specs.NeedsCgo()
		n := neighbourBy(ordinary(), unshares(userNS+" --net", userNS+" --uts")...)
		asOrdinaryUser(func() {
			Expect(whereami.Call(background, struct{}{}, reexec.Target(n.PID, "net"))).To(And(HaveKeyWithValue("net", n.ID("net")),
				HaveKeyWithValue("user", Not(BeElementOf(n.ID("user"), specs.NamespaceID("self", "user"))))))
			expectTarget(n, []string{"user", "uts"}, reexec.Target(n.PID, "uts"))
			expectTarget(n, []string{"user", "net"}, reexec.Target(n.PID, "net", "user"))
		})
	})

	It("is not followed by root, who has the rights anyway", func() {
		specs.NeedsRoot()
		n := newNeighbour("user", "net")
		expectTarget(n, []string{"net"}, reexec.Target(n.PID, "net"))
	})

	It("is an error where the user namespace is the caller's own", func() {
		specs.NeedsRoot()
		specs.NeedsNobody()
		n := neighbourBy(nil, "unshare", "--net", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "cat")
		asOrdinaryUser(func() {
			err := reexec.RunReexecAction("silent", reexec.Target(n.PID, "net"))
			Expect(err).To(MatchError(unix.EPERM))
			Expect(as[*reexec.JoinError](err).Type).To(Equal("net"))
		})
	})
})
