package value

import (
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

func TestMain(m *testing.M) { specs.Main(m) }

func TestValue(t *testing.T) { specs.Run(t, "reexec/internal/value") }

var _ = BeforeEach(specs.LeaveNothing)
