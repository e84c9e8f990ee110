package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func init() {
	specs.Roles["impatient"] = func([]string) {
		defer func() { fmt.Println(recover()) }()
		_ = reexec.RunReexecAction("answer")
	}
}

var _ = Describe("a child that is started by hand", func() {

	byHand := func(variables ...string) (stdout, stderr string, status int) {
		GinkgoHelper()
		child := exec.Command("/proc/self/exe")
		child.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), variables...)
		var out, err strings.Builder
		child.Stdout, child.Stderr = &out, &err
		if failed := child.Run(); failed != nil {
			Expect(failed).To(BeAssignableToTypeOf(&exec.ExitError{}))
		}
		return out.String(), err.String(), child.ProcessState.ExitCode()
	}

	It("runs a registered action", func() {
		stdout, stderr, status := byHand("gons_reexec_action=answer")
		Expect(stdout).To(Equal("\"done\"\n"))
		Expect(stderr).To(BeEmpty())
		Expect(status).To(BeZero())
	})

	It("reports an action that it does not know", func() {
		stdout, stderr, status := byHand("gons_reexec_action=nobody")
		Expect(stdout).To(BeEmpty())
		Expect(stderr).To(Equal(`unregistered gons/reexec re-execution action "nobody"`))
		Expect(status).To(Equal(1))
	})

	It("reports a function, which has nowhere to answer", func() {
		_, stderr, status := byHand("gons_reexec_action=double")
		Expect(stderr).To(Equal(`gons/reexec: function "double" must be called with Func.Call`))
		Expect(status).To(Equal(1))
	})

	It("reports a namespace that package gons cannot join", func() {
		specs.NeedsCgo()
		stdout, stderr, status := byHand("gons_reexec_action=answer", "gons_net=/nowhere", "gons_order=!net")
		Expect(stdout).To(BeEmpty())
		Expect(stderr).To(Equal(`package gons: invalid gons_net reference "/nowhere": No such file or directory`))
		Expect(status).To(Equal(1))
	})

	It("joins namespaces through package gons", func() {
		n := newNeighbour("user", "net")
		stdout, stderr, status := byHand("gons_reexec_action=namespaces",
			"gons_net="+n.namespace("net").Path, "gons_user="+n.namespace("user").Path)
		Expect(stderr).To(BeEmpty())
		Expect(stdout).To(ContainSubstring(n.ID("net")))
		Expect(status).To(BeZero())
	})

	It("sees none of gons' variables in its action", func() {
		stdout, _, _ := byHand("gons_reexec_action=environment", "gons_anything=else")
		Expect(stdout).To(ContainSubstring("PATH="))
		Expect(stdout).NotTo(ContainSubstring("gons_"))
	})

	It("cannot run actions itself, not even before it is told to run one", func() {
		child := specs.Child("impatient")
		child.Env = append(child.Env, "gons_reexec_action=answer")
		Expect(child.Output()).To(ContainSubstring("tried to re-execute in already re-executing child process"))
	})

	DescribeTable("ends if it is to report to nobody",
		func(socket string) {
			specs.NeedsCgo()
			child := exec.Command("/proc/self/exe")
			child.Env = append(os.Environ(), "gons_reexec_action=answer", "gons_reexec_child=1",
				"gons_reexec_socket="+socket, "gons_net=/proc/self/ns/net", "gons_order=!net")
			file, err := os.Open(os.DevNull)
			Expect(err).NotTo(HaveOccurred())
			defer file.Close()
			child.ExtraFiles = []*os.File{file}
			out, err := child.CombinedOutput()
			Expect(err).To(MatchError("exit status 1"))
			Expect(out).To(BeEmpty())
		},
		Entry("a file that is no socket", "3-3"),
		Entry("no file", "999-999"),
		Entry("stdin", "0-0"),
		Entry("one number", "3"),
		Entry("two numbers and more", "3-3-3"),
		Entry("the last file before the first", "4-3"),
		Entry("more files than there are", "3-99999999999999999999"),
		Entry("no number", "x"),
	)

})
