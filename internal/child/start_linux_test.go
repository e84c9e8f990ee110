package child

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/sys"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var _ = Describe("the calling thread", func() {

	It("is known to be locked", func() {
		Expect(sys.IsLocked()).To(BeFalse())
		runtime.LockOSThread()
		Expect(sys.IsLocked()).To(BeTrue())
		runtime.UnlockOSThread()
		Expect(sys.IsLocked()).To(BeFalse())
	})

	It("is the parent of a child that is to die with it, and so is locked meanwhile", func() {
		dies := func(script string) []func(*exec.Cmd) {
			return tune(shell(script), func(cmd *exec.Cmd) {
				cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
			})
		}
		p := start(Spec{Tune: dies("echo $gons_reexec_pdeath $gons_reexec_parent")}, "")
		Expect(sys.IsLocked()).To(BeTrue())
		said, _ := told(p)
		Expect(said).To(MatchRegexp(`^15 \d\n$`))
		p.Close()
		Expect(sys.IsLocked()).To(BeFalse())

		p = start(Spec{Tune: dies("read x"), Function: true, Roams: true}, "")
		Expect(sys.IsLocked()).To(BeFalse(), "the child of a worker has a thread of its own")
		p.Close()
	})

	It("leaves the caller's attributes alone", func() {
		attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setsid: true}
		cmd := &exec.Cmd{SysProcAttr: attr}
		var order Orders
		files := files{cmd: cmd}
		defer files.close()
		Expect(takeDeathSignal(&files, &order)).To(Succeed())
		Expect(order.Death).To(Equal(int(syscall.SIGTERM)))
		Expect(attr.Pdeathsig).To(Equal(syscall.SIGTERM))
		Expect(cmd.SysProcAttr).To(Equal(&syscall.SysProcAttr{Setsid: true}))
	})

})

var _ = DescribeTable("new namespaces", func(attr *syscall.SysProcAttr, kinds string, expected syscall.SysProcAttr) {
	cmd := &exec.Cmd{SysProcAttr: attr}
	Expect(unshare(cmd, strings.Fields(kinds))).To(Succeed())
	Expect(*cmd.SysProcAttr).To(Equal(expected))
	if attr != nil {
		Expect(cmd.SysProcAttr).NotTo(BeIdenticalTo(attr), "it is the caller's")
	}
},
	Entry("without root", nil, "uts ipc net pid cgroup", syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWCGROUP}),
	Entry("by way of unshare(2)", nil, "mnt time", syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWTIME}),
	Entry("as root of a new user namespace", &syscall.SysProcAttr{Setsid: true}, "user", syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, Setsid: true,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}}),
	Entry("as the caller wants it", &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: []syscall.SysProcIDMap{{ContainerID: 5, Size: 1}}}, "mnt", syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: []syscall.SysProcIDMap{{ContainerID: 5, Size: 1}}, Unshareflags: unix.CLONE_NEWNS}),
)

var _ = It("is told what to do about namespaces that cannot be had", func() {
	plain, namespaced := &exec.Cmd{}, &exec.Cmd{SysProcAttr: &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}}
	Expect(explainStart(plain, syscall.EPERM)).To(Equal(syscall.EPERM))
	Expect(explainStart(namespaced, syscall.EPERM)).To(And(MatchError(syscall.EPERM), MatchError(ContainSubstring("CAP_SYS_ADMIN"))))
})
