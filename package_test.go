package reexec_test

import (
	"os"
	"testing"
	"time"

	"example.com/gons/reexec"
	rxtesting "example.com/gons/reexec/testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	. "github.com/onsi/gomega/gleak"
)

func TestMain(m *testing.M) {
	beOther()
	reexec.CheckAction() // what comes now is not for children
	beInit()
	os.Exit((&rxtesting.M{M: m}).Run())
}

func TestReexec(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second) // generous: machines may be slow and busy
	RunSpecs(t, "reexec")
}

var _ = BeforeEach(func() {
	goroutines, expectNoOpenFiles := Goroutines(), noMoreOpenFiles()
	DeferCleanup(func() {
		Eventually(Goroutines).ShouldNot(HaveLeaked(goroutines))
		expectNoOpenFiles()
		Expect(children()).To(BeEmpty(), "all children must have been reaped")
		Expect(strayThreads()).To(BeEmpty(), "no thread must be left in another namespace")
	})
})
