package integration

import (
	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("environment of a child on Linux", func() {

	It("has nothing of gons' variables that the parent has", func() {
		for _, kind := range []string{"net", "mnt", "pid", "order", "reexec_close", "anything"} {
			GinkgoT().Setenv("gons_"+kind, "/nowhere")
		}
		var ids map[string]string
		Expect(reexec.RunReexecAction("namespaces", reexec.Result(&ids))).To(Succeed())
		Expect(ids).To(HaveKeyWithValue("net", specs.NamespaceID("self", "net")))
	})

	It("shows none of gons' variables to the programs that the action starts", func() {
		var env string
		Expect(reexec.RunReexecAction("program's environment", reexec.Result(&env))).To(Succeed())
		Expect(env).To(ContainSubstring("PATH="))
		Expect(env).NotTo(ContainSubstring("gons_"))
	})

})
