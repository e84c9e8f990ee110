package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"golang.org/x/sys/unix"
)

var _ = Describe("tuned children", func() {

	reason := errors.New("enough is enough")

	It("leaves nothing behind, whenever it is cancelled", func() {
		n := newNeighbour("user", "pid", "net")
		for _, types := range [][]string{nil, {"!user", "!net"}, {"!user", "!pid", "!net"}} {
			var all sync.WaitGroup
			failures := make(chan error, 4*40)
			for worker := range 4 {
				all.Go(func() {
					for i := range 40 {
						delay := time.Duration((i*4+worker)*100) * time.Microsecond
						ctx, cancel := context.WithTimeoutCause(context.Background(), delay, reason)
						err := reexec.RunReexecActionContext(ctx, "silent", reexec.Namespaces(n.namespaces(types...)))
						cancel()
						if err != nil && !errors.Is(err, reason) {
							failures <- err
						}
					}
				})
			}
			all.Wait()
			Expect(failures).NotTo(Receive())
			Expect(children()).To(HaveLen(1), "the neighbour")
		}
	})

	It("passes files on", func() {
		r, w, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		defer r.Close()
		n := newNeighbour("user", "pid", "net")
		for _, namespaces := range [][]reexec.Namespace{nil, n.namespaces("!user", "!pid", "!net")} {
			Expect(reexec.RunReexecAction("write to 4", reexec.Namespaces(namespaces),
				reexec.Cmd(func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{nil, w} }))).To(Succeed())
		}
		Expect(w.Close()).To(Succeed())
		Expect(gbytes.TimeoutReader(r, time.Minute).Read(make([]byte, 100))).To(Equal(2 * len("here")))
	})

	It("leaves nothing behind if a child with a Pdeathsig cannot be started", func() {
		n := newNeighbour("user", "pid")
		namespaces := n.namespaces("!user", "pid")
		namespaces[1].Path = "/nowhere"
		for _, namespaces := range [][]reexec.Namespace{namespaces, n.namespaces("!user", "!pid")} {
			for range 5 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				_ = reexec.RunReexecActionContext(ctx, "hang", reexec.Namespaces(namespaces),
					reexec.Stderr(io.Discard), reexec.Cmd(func(cmd *exec.Cmd) {
						cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
					}))
				cancel()
			}
		}
	})

	It("ends with a Pdeathsig if it is an orphan already, also as the first process of a PID namespace", func() {
		specs.NeedsNamespaces("user", "mnt", "cgroup", "ipc", "net", "pid", "uts")
		parent := exec.Command("cat")
		r, w, err := os.Pipe() // without end
		Expect(err).NotTo(HaveOccurred())
		defer r.Close()
		defer w.Close()
		parent.Stdin = r
		Expect(parent.Start()).To(Succeed())
		fd, err := unix.PidfdOpen(parent.Process.Pid, 0)
		Expect(err).NotTo(HaveOccurred())
		pidfd := os.NewFile(uintptr(fd), "pidfd")
		defer pidfd.Close()
		Expect(parent.Process.Kill()).To(Succeed())
		Expect(parent.Wait()).NotTo(Succeed())
		for _, tune := range []func(*exec.Cmd){func(*exec.Cmd) {}, asRootOfNew} {
			child := exec.Command("/proc/self/exe")
			tune(child)
			child.Env = append(os.Environ(), "gons_reexec_child=1", "gons_reexec_action=hang",
				"gons_reexec_pdeath=15", "gons_reexec_parent=3")
			child.ExtraFiles = []*os.File{pidfd}
			Expect(child.Run()).To(MatchError("exit status 1"))
		}
	})

	It("makes new namespaces, rootless, and the child is root there", func() {
		specs.NeedsNamespaces("user", "mnt", "cgroup", "ipc", "net", "pid", "uts")
		var ids map[string]string
		Expect(reexec.RunReexecAction("namespaces", reexec.Result(&ids), reexec.Cmd(asRootOfNew))).To(Succeed())
		Expect(ids).To(HaveKeyWithValue("time", specs.NamespaceID("self", "time")))
		delete(ids, "time")
		for kind, id := range ids {
			Expect(id).NotTo(Equal(specs.NamespaceID("self", kind)), kind)
		}
		var uid int
		Expect(reexec.RunReexecAction("uid", reexec.Result(&uid), reexec.Cmd(asRootOfNew))).To(Succeed())
		Expect(uid).To(Equal(0))
	})

	It("makes new namespaces and joins others", func() {
		n := newNeighbour("user", "net", "uts")
		var ids map[string]string
		Expect(reexec.RunReexecAction("namespaces", reexec.Result(&ids),
			reexec.Namespaces(n.namespaces("!user", "!net")),
			reexec.Cmd(func(cmd *exec.Cmd) {
				if specs.IsRoot() {
					cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUTS}
				}
			}))).To(Succeed())
		Expect(ids).To(HaveKeyWithValue("net", n.ID("net")))
		if specs.IsRoot() {
			Expect(ids).NotTo(HaveKeyWithValue("uts", specs.NamespaceID("self", "uts")))
		}
	})

	DescribeTable("lets a child live as long as its parent, not as a thread of it",
		func(types ...string) {
			n := newNeighbour("user", "pid", "net")
			attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			for range 20 {
				var answer string
				Expect(reexec.RunReexecAction("take your time", reexec.Result(&answer),
					reexec.Namespaces(n.namespaces(types...)),
					reexec.Cmd(func(cmd *exec.Cmd) { cmd.SysProcAttr = attr }))).To(Succeed())
			}
			Expect(attr.Pdeathsig).To(Equal(syscall.SIGKILL), "what is the caller's is left alone")
		},
		Entry("without namespaces"),
		Entry("in a user namespace", "!user"),
		Entry("in a PID namespace", "!user", "!pid"),
		Entry("in a PID namespace and others", "!user", "!pid", "!net"),
	)

	DescribeTable("ends a child together with its parent",
		func(types ...string) {
			n := newNeighbour("user", "pid", "net")
			parent := specs.Child("parent with a Pdeathsig", append(types, itoa(n.PID))...)
			stdout, err := parent.StdoutPipe()
			Expect(err).NotTo(HaveOccurred())
			stdin, err := parent.StdinPipe()
			Expect(err).NotTo(HaveOccurred())
			defer stdin.Close()
			Expect(parent.Start()).To(Succeed())
			// The grandchild's PID: it holds the pipe that it got as a file.
			var child int
			_, err = fmt.Fscan(stdout, &child)
			Expect(err).NotTo(HaveOccurred())
			Expect(syscall.Kill(child, 0)).To(Succeed())
			Expect(parent.Process.Kill()).To(Succeed())
			_ = parent.Wait()
			Eventually(func() error { return alive(child) }).Should(MatchError(syscall.ESRCH))
		},
		Entry("without namespaces"),
		Entry("in a user namespace", "!user"),
		Entry("in a PID namespace", "!user", "!pid"),
	)

})

// A parent with a Pdeathsig has a child that lasts, in namespaces of a process: the
// arguments are the types, and its PID.
func init() {
	specs.Roles["parent with a Pdeathsig"] = asParent(func(args []string) {
		types := args[:len(args)-1]
		n := neighbourOf(atoi(args[len(types)]))
		fmt.Println(reexec.RunReexecAction("say your PID and hang",
			reexec.Namespaces(n.namespaces(types...)),
			reexec.Cmd(func(cmd *exec.Cmd) {
				cmd.ExtraFiles = []*os.File{os.Stdout}
				cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			})))
		os.Exit(1)
	})
}

// asRootOfNew has a child be root of new namespaces of all types that clone(2) makes.
func asRootOfNew(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	for _, ns := range specs.NamespaceFlags {
		if ns.Kind != "time" {
			cmd.SysProcAttr.Cloneflags |= ns.Flag
		}
	}
}
