package specs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("a dead file system", func() {
	It("holds up what is killed, until it ends", func() {
		dead := NewDeadFileSystem()
		cmd := exec.Command("/bin/cat", dead.Path+"/x")
		Expect(cmd.Start()).To(Succeed())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		dead.Asked()
		Expect(cmd.Process.Kill()).To(Succeed())
		Eventually(func() (string, error) {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
			return string(b), err
		}).Should(ContainSubstring(") D "))
		Consistently(ended, "50ms").ShouldNot(Receive())
		dead.End()
		var err error
		Eventually(ended).Should(Receive(&err))
		Expect(errors.As(err, new(*exec.ExitError))).To(BeTrue())
	})
})
