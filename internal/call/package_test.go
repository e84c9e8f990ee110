package call

import (
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

func TestMain(m *testing.M) { specs.Main(m) }

func TestCall(t *testing.T) { specs.Run(t, "reexec/internal/call") }

var _ = BeforeEach(specs.LeaveNothing)
