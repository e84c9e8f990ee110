package conversation

import (
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

func TestMain(m *testing.M) { specs.Main(m) }

func TestConversation(t *testing.T) { specs.Run(t, "reexec/internal/conversation") }

var _ = BeforeEach(specs.LeaveNothing)
