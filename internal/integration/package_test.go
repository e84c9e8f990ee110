// Package integration holds the specs of the public API, on real namespaces and real processes.
package integration

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

func TestIntegration(t *testing.T) { specs.Run(t, "reexec/internal/integration") }

var _ = BeforeEach(specs.LeaveNothing)

var _ = AfterSuite(func() {
	Expect(strayThreads()).To(BeEmpty(), "no thread must be left in another namespace")
})
