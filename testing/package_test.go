package testing

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	. "github.com/onsi/gomega/gleak"
)

func TestMain(m *testing.M) {
	os.Exit((&M{M: m}).Run())
}

func TestTesting(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second) // generous: machines may be slow and busy
	RunSpecs(t, "reexec/testing")
}

var _ = BeforeEach(func() {
	goroutines, expectNoOpenFiles := Goroutines(), noMoreOpenFiles()
	DeferCleanup(func() {
		Eventually(Goroutines).ShouldNot(HaveLeaked(goroutines))
		expectNoOpenFiles()
	})
})
