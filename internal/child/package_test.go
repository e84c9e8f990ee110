package child

import (
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

func TestMain(m *testing.M) { specs.Main(m) }

func TestChild(t *testing.T) { specs.Run(t, "reexec/internal/child") }

var _ = BeforeEach(specs.LeaveNothing)
