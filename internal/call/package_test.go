package call

import (
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

func TestMain(m *testing.M) { specs.Main(m) }

func TestCall(t *testing.T) { specs.Run(t, "reexec/internal/call") }

var _ = BeforeEach(specs.LeaveNothing)

// ok returns the value of a call that must not fail.
func ok[T any](value T, err error) T {
	GinkgoHelper()
	g.Expect(err).NotTo(g.HaveOccurred())
	return value
}
