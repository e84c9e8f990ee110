//go:build linux

package birth

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	. "github.com/onsi/gomega/gleak"
	. "github.com/thediveo/fdooze"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if script := os.Getenv(scriptVar); script != "" {
		perform(script)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestBirth(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second) // generous: machines may be slow and busy
	RunSpecs(t, "reexec/internal/birth")
}

var _ = BeforeEach(func() {
	goroutines, descriptors := Goroutines(), Filedescriptors()
	DeferCleanup(func() {
		Eventually(Goroutines).ShouldNot(HaveLeaked(goroutines))
		Eventually(Filedescriptors).ShouldNot(HaveLeakedFds(descriptors))
		_, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		Expect(err).To(Equal(unix.ECHILD), "all children must have been reaped")
	})
})
