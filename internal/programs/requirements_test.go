package programs

import (
	"encoding/json"
	"strings"

	"example.com/gons/reexec/internal/specs"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("a module that uses this one", specs.Long, func() {
	// bare returns one whose requirements are still to be found.
	bare := func() consumer {
		GinkgoHelper()
		c := newConsumer(map[string]string{"main.go": "package main\n\nimport \"example.com/gons/reexec\"\n\nfunc main() { reexec.CheckAction() }\n"})
		gomod := read(c.Dir + "/go.mod")
		c.Write("go.mod", "module an.example/consumer\n\ngo 1.25.0\n\n"+gomod[strings.Index(gomod, "replace "):])
		return c
	}

	requirements := func(c consumer) (paths []string) {
		GinkgoHelper()
		var mod struct{ Require []struct{ Path string } }
		Expect(json.Unmarshal([]byte(c.Run(nil, "go", "mod", "edit", "-json")), &mod)).To(Succeed())
		for _, require := range mod.Require {
			paths = append(paths, require.Path)
		}
		return paths
	}

	It("requires no other modules than it needs", func() {
		c := bare()
		// -e, since the tests of modules that we require have requirements of their own, which may not be on this machine.
		c.Run(nil, "go", "mod", "tidy", "-e")
		Expect(requirements(c)).To(ConsistOf("example.com/gons/reexec", "github.com/thediveo/gons", "golang.org/x/sys"))
		c.Run(nil, "go", "build", "-mod=readonly", "-o", "program")
	})

	It("is not pushed to newer test libraries than by the original", func() {
		c := bare()
		list := []string{"list", "-m", "github.com/onsi/ginkgo/v2", "github.com/onsi/gomega"}
		c.Run(nil, "go", "mod", "edit", "-require=github.com/thediveo/gons@v0.9.9")
		before := c.Run(nil, "go", list...)
		Expect(before).To(Equal("github.com/onsi/ginkgo/v2 v2.13.0\ngithub.com/onsi/gomega v1.29.0\n"))
		c.Run(nil, "go", "build", "-o", "program")
		Expect(requirements(c)).To(ContainElement("example.com/gons/reexec"))
		Expect(c.Run(nil, "go", list...)).To(Equal(before))
	})
})
