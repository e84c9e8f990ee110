// Package programs holds specs of whole programs: how they are built and linked, and what the
// documentation and the examples make of this module. They have a package of their own to be run
// beside the specs of the public API, since building takes its time.
package programs

import (
	"os"
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

func TestMain(m *testing.M) {
	specs.Play()
	if err := os.Chdir("../.."); err != nil { // to the root of this module
		panic(err)
	}
	os.Exit(m.Run())
}

func TestPrograms(t *testing.T) { specs.Run(t, "reexec/internal/programs") }

var _ = BeforeEach(specs.LeaveNothing)
