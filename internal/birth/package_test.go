//go:build linux && cgo

package birth

import (
	"os"
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
)

func TestMain(m *testing.M) {
	if script := os.Getenv(scriptVar); script != "" {
		perform(script)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestBirth(t *testing.T) { specs.Run(t, "reexec/internal/birth") }

var _ = BeforeEach(specs.LeaveNothing)
