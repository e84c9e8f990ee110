package integration

import (
	"errors"
	"os"
	"os/exec"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("re-execution on Linux", func() {

	It("starts the running image under the program's name", func() {
		var name string
		Expect(reexec.RunReexecAction("name", reexec.Result(&name))).To(Succeed())
		own, err := os.ReadFile("/proc/self/comm")
		Expect(err).NotTo(HaveOccurred())
		Expect(name).To(Equal(string(own)))
	})

	It("tells of a signal that has ended the child", func() {
		err := reexec.RunReexecAction("kill yourself")
		Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child failed, reason: signal: terminated"))
		var exit *exec.ExitError
		Expect(errors.As(asActionError(err), &exit)).To(BeTrue())
	})

	It("says in one line that it could not join a namespace", func() {
		specs.NeedsCgo()
		err := reexec.RunReexecAction("answer", reexec.Namespaces([]reexec.Namespace{
			{Type: "!net", Path: "/nowhere"},
		}))
		Expect(err).To(MatchError(`gons/reexec: ReexecAction.Run: child failed with stderr message ` +
			`"package gons: invalid gons_net reference \"/nowhere\": No such file or directory"`))
		Expect(exitCode(err)).To(Equal(1))
	})

	It("panics in RunAction if the child could not join a namespace", func() {
		specs.NeedsCgo()
		expectPanic(`panic: .*package gons: invalid gons_net reference "/nowhere"`,
			"gons_reexec_action=answer", "gons_net=/nowhere")
	})

})
