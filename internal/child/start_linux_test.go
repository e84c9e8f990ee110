package child

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/sys"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// withAttributes returns the command of a child whose caller wants it to have these.
func withAttributes(attr *syscall.SysProcAttr) *exec.Cmd {
	GinkgoHelper()
	return specs.OK(new(Child).command(Spec{Tune: tune(func(cmd *exec.Cmd) { cmd.SysProcAttr = attr })}))
}

var _ = Describe("the calling thread", func() {
	It("need not last as long as a child that is to die with its parent, and stays locked, or not", func() {
		dies := tune(shell("echo $gons_reexec_pdeath"), func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
		})
		for _, locked := range []bool{false, true, false} {
			if locked {
				runtime.LockOSThread()
			}
			Expect(sys.IsLocked()).To(Equal(locked))
			p := start(Spec{Tune: dies}, "")
			Expect(sys.IsLocked()).To(Equal(locked))
			if locked {
				runtime.UnlockOSThread()
			}
			said, _ := told(p)
			Expect(said).To(Equal("15\n"))
		}
	})

	It("leaves the caller's attributes alone", func() {
		attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setsid: true}
		cmd := withAttributes(attr)
		var order Orders
		files := files{cmd: cmd}
		defer files.close()
		takeDeathSignal(&files, &order)
		Expect(order.Death).To(Equal(int(syscall.SIGTERM)))
		Expect(attr.Pdeathsig).To(Equal(syscall.SIGTERM))
		Expect(cmd.SysProcAttr).To(Equal(&syscall.SysProcAttr{Setsid: true}))
	})
})

var _ = DescribeTable("new namespaces", func(attr *syscall.SysProcAttr, kinds string, expected syscall.SysProcAttr) {
	cmd := withAttributes(attr)
	Expect(unshare(cmd.SysProcAttr, strings.Fields(kinds))).To(Equal(expected.Cloneflags | expected.Unshareflags))
	Expect(*cmd.SysProcAttr).To(Equal(expected))
	Expect(cmd.SysProcAttr).NotTo(BeIdenticalTo(attr), "it is the caller's")
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
	plain, namespaced := &exec.Cmd{SysProcAttr: &syscall.SysProcAttr{}}, &exec.Cmd{SysProcAttr: &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}}
	Expect(explainStart(plain, syscall.EPERM)).To(Equal(syscall.EPERM))
	Expect(explainStart(namespaced, syscall.EPERM)).To(And(MatchError(syscall.EPERM), MatchError(ContainSubstring("CAP_SYS_ADMIN"))))
})
