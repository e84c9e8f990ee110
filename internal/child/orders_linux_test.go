package child

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// inherited returns those descriptors that are open and stay open when a program is executed.
func inherited(numbers []string) (found []string) {
	for _, number := range numbers {
		fd, _ := strconv.Atoi(number)
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			found = append(found, number)
		}
	}
	return found
}

var _ = Describe("orders on Linux", func() {

	It("keep all files of a child from what it starts, its directory for coverage data included", func() {
		specs.NeedsCgo()
		cmd := specs.Child("take", "3", "4", "5", "6", "7")
		for range 5 {
			cmd.ExtraFiles = append(cmd.ExtraFiles, os.Stdin)
		}
		cmd.Env = append(cmd.Env, "gons_reexec_coverdir=3")
		cmd.Env = append(cmd.Env, Orders{Action: "a", Answers: 4, Control: 5, Parent: 6}.Vars()...)
		told := tell(cmd)
		Expect(told.Open).To(Equal([]string{"3", "4", "5", "6", "7"}))
		Expect(told.Inherited).To(Equal([]string{"7"}), "which is not for the child alone")
	})

	It("may be thousands", func() {
		cmd := specs.Child("take")
		for i := range 5000 {
			cmd.Env = append(cmd.Env, fmt.Sprintf("gons_%d=%s", i, strings.Repeat("x", i%100)))
		}
		cmd.Env = append(cmd.Env, Orders{Action: "a", Concurrency: 2}.Vars()...)
		told := tell(cmd)
		Expect(told.Orders).To(Equal(Orders{Action: "a", Concurrency: 2}))
		Expect(told.Env).NotTo(ContainElement(HavePrefix("gons_")))
	})

})

var _ = Describe("a child that watches its parent", func() {

	// watch returns a command that watches a process.
	watch := func(pid int) *exec.Cmd {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ENOSYS || err == unix.EPERM {
			Skip("needs pidfds")
		}
		Expect(err).NotTo(HaveOccurred())
		pidfd := os.NewFile(uintptr(fd), "pidfd")
		DeferCleanup(pidfd.Close)
		cmd := specs.Child("take", "3")
		cmd.ExtraFiles = []*os.File{pidfd}
		cmd.Env = append(cmd.Env, Orders{Action: "a", Death: int(syscall.SIGKILL), Parent: 3}.Vars()...)
		return cmd
	}

	It("lives as long as that does", func() {
		told := tell(watch(os.Getpid()))
		Expect(told.Orders.Parent).To(Equal(3))
		Expect(told.Open).To(BeEmpty())
	})

	It("ends if that has ended already", func() {
		ended := exec.Command("/bin/sh", "-c", "read x")
		stdin, err := ended.StdinPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(ended.Start()).To(Succeed())
		cmd := watch(ended.Process.Pid)
		Expect(stdin.Close()).To(Succeed())
		Expect(ended.Wait()).NotTo(Succeed())
		var stdout strings.Builder
		cmd.Stdout = &stdout
		Expect(cmd.Run()).To(MatchError("exit status 1"))
		Expect(stdout.String()).To(BeEmpty())
	})

})
