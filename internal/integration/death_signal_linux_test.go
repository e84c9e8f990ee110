package integration

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"syscall"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// tellAndHang tells the PID of its process, as /proc has it, to file 3, and then has no ear
// for the end of its parent.
var tellAndHang = reexec.RegisterFunc("tell and hang", func(struct{}) (int, error) {
	pid, err := os.Readlink("/proc/self")
	if err != nil {
		return 0, err
	}
	_, _ = os.NewFile(3, "3").WriteString(pid + "\n")
	select {}
})

func init() {
	// Has a worker hang, started by an unlocked goroutine or a locked one, and possibly as the
	// first process of a new PID namespace.
	roles["mortal worker"] = func(args []string) any {
		option := reexec.Cmd(func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
			if args[1] != "" {
				asRootOfNew(cmd)
				cmd.SysProcAttr.Cloneflags &^= syscall.CLONE_NEWNS // it is not to mount anything
			}
			cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
			cmd.ExtraFiles = []*os.File{os.Stdout}
		})
		failed := make(chan error)
		go func() {
			if args[0] == "locked" {
				runtime.LockOSThread()
			}
			worker, err := tellAndHang.Start(background, option)
			if err == nil {
				_, err = worker.Call(background, struct{}{})
			}
			failed <- err
		}()
		return fmt.Sprint(<-failed)
	}
}

var _ = Describe("a Pdeathsig", func() {

	DescribeTable("ends a worker that has no ear for the end of its parent",
		func(goroutine, new string) {
			if new != "" {
				specs.NeedsNamespaces("user", "cgroup", "ipc", "net", "pid", "uts")
			}
			parent := withRole("mortal worker", goroutine, new)
			stdout, err := parent.StdoutPipe()
			Expect(err).NotTo(HaveOccurred())
			Expect(parent.Start()).To(Succeed())
			var child int
			_, err = fmt.Fscan(stdout, &child)
			Expect(err).NotTo(HaveOccurred())
			Expect(alive(child)).To(Succeed())
			Expect(parent.Process.Kill()).To(Succeed())
			_ = parent.Wait()
			Eventually(func() error { return alive(child) }).Should(MatchError(syscall.ESRCH))
		},
		Entry("started by any goroutine", "unlocked", ""),
		Entry("started by a locked goroutine", "locked", ""),
		Entry("as the first process of a new PID namespace", "unlocked", "new"),
		Entry("as that, started by a locked goroutine", "locked", "new"),
	)

	It("does not end a worker when a thread ends", func() {
		for _, goroutine := range []string{"unlocked", "locked"} {
			begun := make(chan *reexec.Worker[int, int])
			done := make(chan struct{})
			go func() {
				defer GinkgoRecover()
				if goroutine == "locked" {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
				}
				worker, err := double.Start(background, reexec.Cmd(func(cmd *exec.Cmd) {
					cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
				}))
				Expect(err).NotTo(HaveOccurred())
				begun <- worker
				<-done
			}()
			worker := <-begun
			for i := range 20 {
				// Threads whose goroutines end while they are locked end as well.
				onOwnThread(func() {})
				Expect(worker.Call(background, i)).To(Equal(2 * i))
			}
			close(done)
			Expect(worker.Close()).To(Succeed(), goroutine)
		}
	})

	It("of a worker leaves the calling goroutine as it was", func() {
		for _, lock := range []bool{false, true} {
			done := make(chan bool)
			go func() {
				defer GinkgoRecover()
				if lock {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
				}
				for _, way := range waysIn {
					Expect(way.run(reexec.Cmd(func(cmd *exec.Cmd) {
						cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
					}))).To(Succeed())
				}
				done <- isLocked()
			}()
			Expect(<-done).To(Equal(lock))
		}
	})

})

// isLocked tells whether the calling goroutine is locked to its thread.
func isLocked() bool {
	trace := make([]byte, 200)
	trace = trace[:runtime.Stack(trace, false)]
	return regexp.MustCompile(`^goroutine \d+ .*locked to thread.*\]:`).Match(trace)
}
