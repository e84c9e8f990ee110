package process

import (
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

// roles are what this test binary is as a child of a spec.
var roles = map[string]func(args []string){}

func TestMain(m *testing.M) { specs.Main(m, roles) }

func TestProcess(t *testing.T) { specs.Run(t, "reexec/internal/process") }

var _ = BeforeEach(specs.LeaveNothing)
