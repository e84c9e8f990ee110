package suite

import (
	"fmt"
	"os"
	"testing"

	"an.example/consumer"
	"example.com/gons/reexec"
	rxtesting "example.com/gons/reexec/testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func init() {
	reexec.Register("answer", func() { fmt.Printf("%q", consumer.Child()) })
}

func TestMain(m *testing.M) {
	os.Exit((&rxtesting.M{M: m}).Run())
}

func TestSuite(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "suite")
}

var _ = It("runs in the parent", func() { consumer.Parent() })

// More specs than processes, so that all of them have something to do.
var _ = Describe("children", func() {
	for i := range 8 {
		It(fmt.Sprint("runs child ", i), func() {
			var result string
			Expect(reexec.RunReexecAction("answer", reexec.Result(&result))).To(Succeed())
			Expect(result).To(Equal("child"))
		})
	}
})
