package reexec_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// A role is what the test binary is a parent for instead of testing. It gets what the spec
// tells it, and what it returns is told to the spec.
var roles = map[string]func(args []string) any{}

// roleVar has the test binary play a role: its name, and after each | something to be told.
const roleVar = "reexec_test_role"

// playRole never returns in a process that has a role.
func playRole() {
	name, rest, _ := strings.Cut(os.Getenv(roleVar), "|")
	if name == "" {
		return
	}
	reexec.CheckAction()
	RegisterFailHandler(func(message string, _ ...int) { panic(message) })
	answer(roles[name](strings.Split(rest, "|")))
	os.Exit(0)
}

// withRole returns a process with a role.
func withRole(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVar+"="+strings.Join(append([]string{name}, args...), "|"), "GORACE=atexit_sleep_ms=0")
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
