package specs

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestMain(m *testing.M) { Main(m) }

func TestSpecs(t *testing.T) { Run(t, "reexec/internal/specs") }

var _ = BeforeEach(LeaveNothing)

var _ = Describe("a neighbour that cannot be started", func() {

	It("leaves nothing", func() {
		NeedsNamespaces("user", "mnt")
		_, err := StartNeighbour("/nowhere", "user", "mnt")
		Expect(err).To(HaveOccurred())
	})

})
