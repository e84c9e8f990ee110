package testsupport

import (
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

func TestTestsupport(t *testing.T) { specs.Run(t, "reexec/internal/testsupport") }

var _ = BeforeEach(specs.LeaveNothing)
