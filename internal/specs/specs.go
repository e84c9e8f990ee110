// Package specs runs the specs of a package, sees to it that none leaves anything behind, and has the
// test binary be a child of itself. It is for tests only.
package specs

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"
)

// Run runs all specs of a package.
func Run(t *testing.T, suite string) {
	gomega.RegisterFailHandler(ginkgo.Fail)
	gomega.SetDefaultEventuallyTimeout(30 * time.Second) // generous: machines may be slow and busy
	ginkgo.RunSpecs(t, suite)
}

// LeaveNothing, called in a BeforeEach, expects a spec to leave no goroutines, open files and children.
func LeaveNothing() {
	goroutines, expectNoMore := gleak.Goroutines(), noMore()
	ginkgo.DeferCleanup(func() {
		gomega.Eventually(gleak.Goroutines).ShouldNot(gleak.HaveLeaked(goroutines))
		expectNoMore()
	})
}

const roleVar = "reexec_spec_role"

// Role is the variable that has this test binary play a role of [Main].
func Role(role string) (variable string) { return roleVar + "=" + role }

// Main runs the tests, but in a [Child] just its role.
func Main(m *testing.M, roles map[string]func(args []string)) {
	if role, ok := roles[os.Getenv(roleVar)]; ok {
		role(os.Args[1:])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Child returns a command that plays a role of [Main] in this test binary.
func Child(role string, args ...string) *exec.Cmd {
	self, err := "/proc/self/exe", error(nil)
	if runtime.GOOS != "linux" {
		self, err = os.Executable()
	}
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), Role(role), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = ginkgo.GinkgoWriter
	return cmd
}
