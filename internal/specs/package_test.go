package specs

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
)

func TestMain(m *testing.M) { Main(m) }

func TestSpecs(t *testing.T) { Run(t, "reexec/internal/specs") }

var _ = BeforeEach(LeaveNothing)
