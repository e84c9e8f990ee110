package sys

import (
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

func TestMain(m *testing.M) { specs.Main(m) }

func TestSys(t *testing.T) { specs.Run(t, "reexec/internal/sys") }

var _ = BeforeEach(specs.LeaveNothing)
