package integration

import (
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/specs"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// A role is what the test binary is a parent for instead of testing. It gets what the spec
// tells it, and what it returns is told to the spec.
var roles = map[string]func(args []string) any{}

func init() {
	specs.Roles["role"] = asParent(func(args []string) {
		RegisterFailHandler(func(message string, _ ...int) { panic(message) })
		answer(roles[args[0]](args[1:]))
	})
}

// withRole returns a process with a role.
func withRole(name string, args ...string) *exec.Cmd {
	cmd := specs.Child("role", append([]string{name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	return cmd
}

// tellOf has a process play its role, and returns what it tells.
func tellOf[T any](cmd *exec.Cmd) (told T) {
	GinkgoHelper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	Expect(err).NotTo(HaveOccurred(), "%s%s", out, &stderr)
	Expect(json.Unmarshal(out, &told)).To(Succeed(), "%s%s", out, &stderr)
	return told
}
