package testing

import (
	"os"
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

func TestMain(m *testing.M) {
	specs.Play()
	os.Exit((&M{M: m}).Run())
}

func TestTesting(t *testing.T) { specs.Run(t, "reexec/testing") }

var _ = BeforeEach(specs.LeaveNothing)
