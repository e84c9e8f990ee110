package inside_test

import (
	"os"
	"testing"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"
	rxtesting "example.com/gons/reexec/testing"

	. "github.com/onsi/ginkgo/v2"
)

func TestMain(m *testing.M) {
	specs.Play()
	reexec.CheckAction() // what comes now is not for children
	specs.BeInit()
	os.Exit((&rxtesting.M{M: m}).Run())
}

func TestInside(t *testing.T) { specs.Run(t, "reexec/inside") }

var _ = BeforeEach(specs.LeaveNothing)
