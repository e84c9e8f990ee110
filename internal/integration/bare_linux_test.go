package integration

import (
	"flag"
	"os"
	"strings"
	"testing"

	"example.com/gons/reexec"
)

var bare = flag.Bool("bare", false, "run TestBare, which is skipped without")

// TestBare is for a root folder with nothing in it but the test binary, linked statically, where
// no spec could even begin. All ways to start a child are errors that say what is missing, and return.
// But where there is /proc, they work without anything else:
//
//	chroot folder /integration.test -test.run Bare -bare
func TestBare(t *testing.T) {
	if !*bare {
		t.Skip("needs the flag -bare")
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		for _, way := range waysIn {
			if err := way.run(); err != nil {
				t.Errorf("%s: %v", way.name, err)
			}
			if err := way.run(reexec.Unshare("net")); err != nil {
				t.Errorf("%s in new namespaces: %v", way.name, err)
			}
		}
		return
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
