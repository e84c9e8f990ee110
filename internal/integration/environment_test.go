package integration

import (
	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("environment of a child", func() {

	It("takes namespaces only from the action", func() {
		Expect(reexec.RunReexecAction("silent",
			reexec.Environment([]string{"gons_net=/nowhere", "gons_order=net"}))).To(Succeed())
	})

	It("shows none of gons' variables to the action", func() {
		var env []string
		Expect(reexec.RunReexecAction("environment", reexec.Result(&env))).To(Succeed())
		Expect(env).NotTo(BeEmpty())
		Expect(env).NotTo(ContainElement(HavePrefix("gons_")))
	})

})
