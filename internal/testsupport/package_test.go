package testsupport

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	. "github.com/onsi/gomega/gleak"
)

func TestTestsupport(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second) // generous: machines may be slow and busy
	RunSpecs(t, "reexec/internal/testsupport")
}

var _ = BeforeEach(func() {
	goroutines, expectNoOpenFiles := Goroutines(), noMoreOpenFiles()
	DeferCleanup(func() {
		Eventually(Goroutines).ShouldNot(HaveLeaked(goroutines))
		expectNoOpenFiles()
	})
})
