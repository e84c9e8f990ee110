//go:build (unix && !aix) || windows

package specs

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// Roles are what a test binary can be instead of tests, by name. The files whose specs start
// them fill this.
var Roles = map[string]func(args []string){}

// roleVar has a test binary play a role: its value is the name and the arguments, one a line.
// Arguments of the command are no way, since children get none.
const roleVar = "reexec_spec_role"

// Role returns the variable that has a test binary play a role.
func Role(role string, args ...string) (variable string) {
	if Roles[role] == nil {
		panic("no role " + role)
	}
	return roleVar + "=" + strings.Join(append([]string{role}, args...), "\n")
}

// Trial is a role that tries something, in a process that may lack what others have. What it tells on stderr, or on
// stdout, may be lost, so it tells by file 3 whether that went well.
func Trial(try func(args []string) error) (role func(args []string)) {
	return func(args []string) { fmt.Fprint(os.NewFile(3, "report"), try(args)) }
}

// Try plays a role that is a [Trial], which must succeed. It skips the spec if that tells what it needs.
func Try(role string, args ...string) {
	ginkgo.GinkgoHelper()
	r, w := OK2(os.Pipe())
	defer r.Close()
	cmd := Child(role, args...)
	cmd.ExtraFiles = []*os.File{w}
	err := cmd.Run()
	_ = w.Close()
	said := string(OK(io.ReadAll(r)))
	if strings.HasPrefix(said, "needs ") {
		ginkgo.Skip(said)
	}
	gomega.Expect(said).To(gomega.Equal("<nil>"))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
}

// Play plays a role and ends this process, if a variable says so.
func Play() {
	words := strings.Split(os.Getenv(roleVar), "\n")
	if role := Roles[words[0]]; role != nil {
		role(words[1:])
		if testing.CoverMode() != "" {
			os.Stderr = nil // the runtime would say there that it cannot count; it may be a pipe that is full, or broken
		}
		os.Exit(0)
	}
}

// Main is TestMain of a package whose specs have no other needs.
func Main(m *testing.M) {
	Play()
	BeInit()
	os.Exit(m.Run())
}

// Child returns a command that plays a role in this test binary, whatever becomes of its file.
func Child(role string, args ...string) *exec.Cmd {
	self, err := "/proc/self/exe", error(nil)
	if runtime.GOOS != "linux" {
		if self, err = os.Executable(); err != nil {
			panic(err)
		}
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), Role(role, args...), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = ginkgo.GinkgoWriter
	return cmd
}
