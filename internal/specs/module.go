//go:build (unix && !aix) || windows

package specs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// A Module uses this one. It is built from the module cache alone.
type Module struct{ Dir string }

// NewModule makes a folder a module with the requirements of this one, whose folder is root. It skips a spec where
// nothing can be built, or where that takes too long.
func NewModule(dir, root string) Module {
	ginkgo.GinkgoHelper()
	if testing.Short() {
		ginkgo.Skip("builds programs")
	}
	if _, err := exec.LookPath("go"); err != nil {
		ginkgo.Skip("needs the go tool: " + err.Error())
	}
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		ginkgo.Skip("needs the source tree: " + err.Error())
	}
	root = OK(filepath.Abs(root))
	m := Module{dir}
	_, requirements, _ := strings.Cut(string(gomod), "\n") // of the line that names it
	m.Write("go.mod", "module an.example/consumer\n"+requirements+"\nrequire example.com/gons/reexec v0.0.0\n\nreplace example.com/gons/reexec => "+root+"\n")
	m.Write("go.sum", string(OK(os.ReadFile(filepath.Join(root, "go.sum")))))
	return m
}

// Write writes a file in the module's folder.
func (m Module) Write(name, content string) {
	ginkgo.GinkgoHelper()
	path := filepath.Join(m.Dir, name)
	gomega.Expect(os.MkdirAll(filepath.Dir(path), 0o755)).To(gomega.Succeed())
	gomega.Expect(os.WriteFile(path, []byte(content), 0o644)).To(gomega.Succeed())
}

// Command returns a command in the module's folder, with variables in addition to those that have nothing to do with
// coverage of the specs themselves.
func (m Module) Command(env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = m.Dir
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GOCOVERDIR=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "GOFLAGS=-mod=mod -buildvcs=false", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off", "GOTOOLCHAIN=local", "PWD="+m.Dir)
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// Run runs a command that is expected to succeed, and returns its stdout.
func (m Module) Run(env []string, name string, args ...string) string {
	ginkgo.GinkgoHelper()
	var stderr strings.Builder
	cmd := m.Command(env, name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "%s\n%s%s", cmd, out, &stderr)
	return string(out)
}
