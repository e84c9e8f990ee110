package frame

import (
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

func TestMain(m *testing.M) { specs.Main(m) }

func TestFrame(t *testing.T) { specs.Run(t, "reexec/internal/frame") }

var _ = BeforeEach(specs.LeaveNothing)
