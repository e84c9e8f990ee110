package reexec_test

import (
	"context"
	"os"
	"testing"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"
	rxtesting "example.com/gons/reexec/testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestMain(m *testing.M) {
	reexec.CheckAction() // what comes now is not for children
	specs.BeInit()
	os.Exit((&rxtesting.M{M: m}).Run())
}

func TestReexec(t *testing.T) { specs.Run(t, "reexec") }

var _ = BeforeEach(specs.LeaveNothing)

// The other specs of this package are in internal/integration.
var _ = Describe("package reexec", func() {

	It("calls functions, starts workers, iterates over streams and runs actions", func() {
		ctx := context.Background()
		Expect(shout.Call(ctx, "call")).To(Equal("call!"))
		w, err := shout.Start(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(w.Call(ctx, "worker")).To(Equal("worker!"))
		Expect(w.Close()).To(Succeed())
		var all []int
		for n, err := range count.Call(ctx, 3) {
			Expect(err).NotTo(HaveOccurred())
			all = append(all, n)
		}
		Expect(all).To(Equal([]int{1, 2, 3}))
		var greeting string
		Expect(reexec.RunReexecAction("greet", reexec.Param("action"), reexec.Result(&greeting))).To(Succeed())
		Expect(greeting).To(Equal("Hello, action"))
	})

})
