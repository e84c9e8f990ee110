package reexec_test

import (
	"flag"
	"strings"
	"testing"

	"example.com/gons/reexec"
)

var bare = flag.Bool("bare", false, "run TestBare, which is skipped without")

// TestBare is for a root folder with nothing in it but the test binary, linked statically, where
// no spec could even begin. All ways to start a child are errors that say what is missing, and return:
//
//	chroot folder /reexec.test -test.run Bare -bare
func TestBare(t *testing.T) {
	if !*bare {
		t.Skip("needs the flag -bare")
	}
	for _, way := range waysIn {
		for _, namespaces := range [][]reexec.Namespace{nil, {{Type: "!net", Path: "/proc/self/ns/net"}}} {
			err := way.run(reexec.Namespaces(namespaces))
			if err == nil || !strings.Contains(err.Error(), "cannot start child, reason: fork/exec /proc/self/exe: no such file or directory") {
				t.Errorf("%s in %v: %v", way.name, namespaces, err)
			}
		}
	}
	if namespaces, err := reexec.NamespacesOf(1); err == nil {
		t.Errorf("found %v", namespaces)
	}
}
