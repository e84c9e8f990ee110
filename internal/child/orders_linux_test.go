package child

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/sys"

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
		told := tell(cmd, append([]string{"gons_reexec_fd_coverdir=3"}, Orders{Action: "a", Answers: 4, Control: 5, Stderr: 6}.Vars()...)...)
		Expect(told.Open).To(Equal([]string{"3", "4", "5", "6", "7"}))
		Expect(told.Inherited).To(Equal([]string{"7"}), "which is not for the child alone")
	})

	It("may be thousands", func() {
		given := Orders{Action: "a", Concurrency: 2}
		var vars []string
		for i := range 5000 {
			vars = append(vars, fmt.Sprintf("gons_%d=%s", i, strings.Repeat("x", i%100)))
		}
		told := tell(specs.Child("take"), append(vars, given.Vars()...)...)
		Expect(told.Orders).To(Equal(given))
		Expect(told.Env).NotTo(ContainElement(HavePrefix("gons_")))
	})
})

var _ = Describe("a child that watches its parent by a pidfd, while another process may hold the pipe for answers,", func() {
	DescribeTable("ends only if that has ended already", func(ended bool) {
		parent := exec.Command("/bin/sh", "-c", "read x")
		stdin := specs.OK(parent.StdinPipe())
		Expect(parent.Start()).To(Succeed())
		fd, err := unix.PidfdOpen(parent.Process.Pid, 0)
		if ended {
			Expect(stdin.Close()).To(Succeed())
			_ = parent.Wait()
		} else {
			defer func() { _, _ = stdin.Close(), parent.Wait() }()
		}
		if err == unix.ENOSYS || err == unix.EPERM { // of old kernels, and of old seccomp filters
			Skip("needs pidfds")
		}
		Expect(err).NotTo(HaveOccurred())
		pidfd := os.NewFile(uintptr(fd), "pidfd")
		defer pidfd.Close()
		cmd := specs.Child("take", "3")
		cmd.ExtraFiles = []*os.File{pidfd}
		cmd.Env = append(cmd.Env, Orders{Action: "a", Death: int(syscall.SIGKILL), Parent: 3}.Vars()...)
		if ended {
			Expect(cmd.Run()).To(MatchError("exit status 1"))
			return
		}
		Expect(tell(cmd).Open).To(BeEmpty())
	},
		Entry("it has", true), Entry("it has not", false))
})

var _ = DescribeTable("a child that watches its parent", func(order Orders, ended bool) {
	r, w := specs.OK2(os.Pipe())
	defer sys.CloseAll(r, w)
	order.Action, order.Death = "a", int(syscall.SIGKILL)
	cmd := specs.Child("take", "3")
	cmd.Env = append(cmd.Env, order.Vars()...)
	cmd.Stdout, cmd.ExtraFiles = w, []*os.File{w}
	if ended { // and so reads no more
		if order.Answers != 0 {
			cmd.Stdout = nil // of a function it is not the parent that reads it
		}
		Expect(r.Close()).To(Succeed())
		Expect(cmd.Run()).To(MatchError("exit status 1"))
		return
	}
	Expect(cmd.Run()).To(Succeed())
	Expect(w.Close()).To(Succeed())
	Expect(io.ReadAll(r)).To(ContainSubstring(`"Action":"a"`))
},
	Entry("lives as long as that does", Orders{}, false),
	Entry("lives as long as that does, also if it runs a function", Orders{Answers: 3}, false),
	Entry("ends if that has ended already", Orders{}, true),
	Entry("ends if that has ended already, also if it runs a function", Orders{Answers: 3}, true),
)
