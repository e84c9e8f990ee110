package conversation

import (
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

// roles are what this test binary is as a child of a spec.
var roles = map[string]func(args []string){}

func TestMain(m *testing.M) { specs.Main(m, roles) }

func TestConversation(t *testing.T) { specs.Run(t, "reexec/internal/conversation") }

var _ = BeforeEach(specs.LeaveNothing)
