package reexec_test

import (
	"os"
	"testing"
	"time"

	rxtesting "example.com/gons/reexec/testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	. "github.com/onsi/gomega/gleak"
	. "github.com/thediveo/fdooze"
)

func TestMain(m *testing.M) {
	beOther()
	os.Exit((&rxtesting.M{M: m}).Run())
}

func TestReexec(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second) // generous: machines may be slow and busy
	RunSpecs(t, "reexec")
}

var _ = BeforeEach(func() {
	goroutines, descriptors := Goroutines(), Filedescriptors()
	DeferCleanup(func() {
		Eventually(Goroutines).ShouldNot(HaveLeaked(goroutines))
		Eventually(Filedescriptors).ShouldNot(HaveLeakedFds(descriptors))
		Expect(children()).To(BeEmpty(), "all children must have been reaped")
		Expect(strayThreads()).To(BeEmpty(), "no thread must be left in another namespace")
	})
})
