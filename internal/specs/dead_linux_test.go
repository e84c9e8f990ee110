package specs

import (
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
		Eventually(os.ReadFile).WithArguments(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid)).Should(ContainSubstring(") D "))
		Consistently(ended, "50ms").ShouldNot(Receive())
		dead.End()
		Eventually(ended).Should(Receive(BeAssignableToTypeOf(&exec.ExitError{})))
	})
})
