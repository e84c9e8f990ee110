// Package programs holds specs of whole programs: how they are built and linked, and what the
// documentation and the examples make of this module. They have a package of their own to be run
// beside the specs of the public API, since building takes its time.
package programs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// shared is a folder of programs that several specs use, which other users may execute.
var shared string

func TestMain(m *testing.M) {
	specs.Play()
	err := os.Chdir("../..") // to the root of this module
	if err == nil {
		shared, err = os.MkdirTemp("", "programs-")
	}
	if err = errors.Join(err, os.Chmod(shared, 0o755)); err != nil {
		panic(err)
	}
	status := m.Run()
	_ = os.RemoveAll(shared)
	os.Exit(status)
}

func TestPrograms(t *testing.T) { specs.Run(t, "reexec/internal/programs") }

var _ = BeforeEach(specs.LeaveNothing)

// A consumer is a module that uses this one, in a temporary folder.
type consumer struct{ specs.Module }

// newConsumer writes a module of these files, by name.
func newConsumer(files map[string]string) consumer {
	GinkgoHelper()
	c := consumer{specs.NewModule(GinkgoT().TempDir(), ".")}
	for name, content := range files {
		c.Write(name, content)
	}
	return c
}

// build runs a compiler, with variables separated by spaces, or skips the spec if there is none.
func (c consumer) build(env string, args ...string) {
	GinkgoHelper()
	variables := strings.Fields(env)
	for _, compiler := range append(variables, "CC="+args[0]) {
		if _, err := exec.LookPath(strings.TrimPrefix(compiler, "CC=")); err != nil && strings.HasPrefix(compiler, "CC=") {
			Skip(err.Error())
		}
	}
	out, err := c.Command(variables, args[0], args[1:]...).CombinedOutput()
	if text := string(out); err != nil && (strings.Contains(text, "C compiler") || strings.Contains(text, "-race is not supported")) {
		Skip(text)
	}
	Expect(err).NotTo(HaveOccurred(), string(out))
}

// program builds the module's program, and returns its path.
func (c consumer) program(env string, args ...string) string {
	GinkgoHelper()
	c.build(env, append([]string{"go", "build", "-o", "program"}, args...)...)
	return filepath.Join(c.Dir, "program")
}

// together does several things at a time, since building a program has its pauses.
func together(things ...func()) {
	var all sync.WaitGroup
	for _, thing := range things {
		all.Go(func() {
			defer GinkgoRecover()
			thing()
		})
	}
	all.Wait()
}

// read reads a page of the documentation.
func read(page string) string {
	GinkgoHelper()
	text, err := os.ReadFile(page)
	if err != nil {
		Skip("needs the source tree: " + err.Error())
	}
	return string(text)
}
