package reexec_test

import (
	"os"
	"testing"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"
	rxtesting "example.com/gons/reexec/testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestMain(m *testing.M) {
	specs.Play()
	reexec.CheckAction() // what comes now is not for children
	specs.BeInit()
	os.Exit((&rxtesting.M{M: m}).Run())
}

func TestReexec(t *testing.T) { specs.Run(t, "reexec") }

var _ = BeforeEach(specs.LeaveNothing)

var _ = AfterSuite(func() {
	Expect(strayThreads()).To(BeEmpty(), "no thread must be left in another namespace")
})
