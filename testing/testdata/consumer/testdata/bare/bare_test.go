// Package bare has tests only, so the coverage runtime of its children has nothing to count, and says so when they exit.
package bare

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"example.com/gons/reexec"
	rxtesting "example.com/gons/reexec/testing"
)

func init() {
	reexec.Register("blurt", func() { fmt.Fprint(os.Stderr, "no newline") })
}

func TestMain(m *testing.M) {
	os.Exit((&rxtesting.M{M: m}).Run())
}

func TestBlurt(t *testing.T) {
	err := reexec.RunReexecAction("blurt")
	var failed *reexec.ActionError
	if !errors.As(err, &failed) || failed.Stderr != "no newline" {
		t.Fatalf("unexpected error: %v", err)
	}
}
