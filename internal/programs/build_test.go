package programs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// A consumer is a module that uses this one, in a temporary folder.
type consumer struct{ dir string }

// newConsumer writes a module of these files, by name.
func newConsumer(files map[string]string) consumer {
	GinkgoHelper()
	if testing.Short() {
		Skip("builds programs")
	}
	if _, err := exec.LookPath("go"); err != nil {
		Skip("needs the go tool: " + err.Error())
	}
	root, err := os.Getwd()
	Expect(err).NotTo(HaveOccurred())
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		Skip("needs the source tree: " + err.Error())
	}
	c := consumer{dir: GinkgoT().TempDir()}
	c.write("go.sum", string(sums))
	// Go itself adds what is missing, as "go get" does.
	c.write("go.mod", fmt.Sprintf("module example.org/consumer\n\ngo 1.25.0\n\n"+
		"replace example.com/gons/reexec => %q\n", root))
	for name, content := range files {
		c.write(name, content)
	}
	return c
}

func (c consumer) write(name, content string) {
	GinkgoHelper()
	Expect(os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o644)).To(Succeed())
}

// command returns a command that runs in the module's folder, and for which all
// modules are to be found where the tests' own modules are.
func (c consumer) command(env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = c.dir
	cmd.Env = append(append(os.Environ(),
		"GOFLAGS=-mod=mod -buildvcs=false", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off", "GOTOOLCHAIN=local"), env...)
	return cmd
}

// run runs a command that is expected to succeed, and returns its stdout.
func (c consumer) run(env []string, name string, args ...string) string {
	GinkgoHelper()
	var stderr strings.Builder
	cmd := c.command(env, name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	Expect(err).NotTo(HaveOccurred(), "%s\n%s%s", cmd, out, &stderr)
	return string(out)
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

// settle has the module require what it needs, so that several commands, which would all
// want to add that, can be run at a time.
func (c consumer) settle() {
	GinkgoHelper()
	c.run(nil, "go", "list", "-deps", "-test", "./...")
}

// requirements returns the modules that the module requires.
func (c consumer) requirements() (paths []string) {
	GinkgoHelper()
	var mod struct{ Require []struct{ Path string } }
	Expect(json.Unmarshal([]byte(c.run(nil, "go", "mod", "edit", "-json")), &mod)).To(Succeed())
	for _, require := range mod.Require {
		paths = append(paths, require.Path)
	}
	return paths
}

// consumerProgram runs an action, first without and then with a namespace, and
// prints what came of that as JSON: a programOutcome.
const consumerProgram = `package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"example.com/gons/reexec"
)

func init() {
	reexec.Register("options", func() { fmt.Printf("%q", os.Getenv("GORACE")) })
}

func main() {
	reexec.CheckAction()
	var options, text string
	if err := reexec.RunReexecAction("options", reexec.Result(&options)); err != nil {
		panic(err)
	}
	err := reexec.RunReexecAction("options", reexec.Namespaces([]reexec.Namespace{
		{Type: "!net", Path: "/proc/self/ns/net"},
	}))
	if err != nil {
		text = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"RaceOptions": options, "JoinError": text, "Unsupported": errors.Is(err, errors.ErrUnsupported),
	})
}
`

type programOutcome struct {
	RaceOptions string // the race detector's, in the child
	JoinError   string // the error of the run in a namespace
	Unsupported bool   // whether that is an errors.ErrUnsupported
}

// outcome runs the program that has been built.
func (c consumer) outcome(env ...string) (outcome programOutcome) {
	GinkgoHelper()
	out := c.run(env, filepath.Join(c.dir, "program"))
	Expect(json.Unmarshal([]byte(out), &outcome)).To(Succeed())
	return outcome
}

var _ = Describe("a program that uses this module", func() {

	var program consumer

	BeforeEach(func() {
		program = newConsumer(map[string]string{"main.go": consumerProgram})
	})

	It("builds and runs without cgo, but cannot join namespaces", func() {
		program.run([]string{"CGO_ENABLED=0"}, "go", "build", "-o", "program")
		outcome := program.outcome()
		Expect(outcome.JoinError).To(Equal("gons/reexec: ReexecAction.Run: cannot start child, reason: " +
			"cannot join namespaces in a program built without cgo: unsupported operation"))
		Expect(outcome.Unsupported).To(BeTrue())
	})

	It("builds for other systems", func() {
		program.settle()
		together(
			func() { program.run([]string{"CGO_ENABLED=0", "GOOS=darwin"}, "go", "build", "-o", "darwin") },
			func() { program.run([]string{"CGO_ENABLED=0", "GOOS=freebsd"}, "go", "build", "-o", "freebsd") },
			func() { program.run([]string{"CGO_ENABLED=0", "GOOS=windows"}, "go", "build", "-o", "windows") },
		)
	})

	It("requires no other modules than it needs", func() {
		// -e, since the tests of modules that we require have requirements
		// of their own, which may not be on this machine.
		program.run(nil, "go", "mod", "tidy", "-e")
		Expect(program.requirements()).To(ConsistOf(
			"example.com/gons/reexec", "github.com/thediveo/gons", "golang.org/x/sys"))
		program.run(nil, "go", "build", "-mod=readonly", "-o", "program")
	})

	It("is not pushed to newer test libraries than by the original", func() {
		list := []string{"list", "-m", "github.com/onsi/ginkgo/v2", "github.com/onsi/gomega"}
		program.run(nil, "go", "mod", "edit", "-require=github.com/thediveo/gons@v0.9.9")
		before := program.run(nil, "go", list...)
		Expect(before).To(Equal("github.com/onsi/ginkgo/v2 v2.13.0\ngithub.com/onsi/gomega v1.29.0\n"))
		program.run(nil, "go", "build", "-o", "program")
		Expect(program.requirements()).To(ContainElement("example.com/gons/reexec"))
		Expect(program.run(nil, "go", list...)).To(Equal(before))
	})

	It("has children that do not sleep at their exit with the race detector", func() {
		build := program.command([]string{"CGO_ENABLED=1"}, "go", "build", "-race", "-o", "program")
		if out, err := build.CombinedOutput(); strings.Contains(string(out), "-race is not supported") ||
			strings.Contains(string(out), "C compiler") {
			Skip(string(out))
		} else {
			Expect(err).NotTo(HaveOccurred(), string(out))
		}
		expect := func(given, want string) func() {
			return func() {
				Expect(strings.Fields(program.outcome("GORACE="+given).RaceOptions)).To(
					ConsistOf(strings.Fields(want)), given)
			}
		}
		together(
			expect("", "atexit_sleep_ms=0"),
			expect("history_size=2", "atexit_sleep_ms=0 history_size=2"),
			expect("atexit_sleep_ms=5 history_size=2", "atexit_sleep_ms=5 history_size=2"),
		)
	})

	It("may check for its action in an init function, and call functions without cgo", func() {
		typed := newConsumer(map[string]string{"main.go": `package main

import (
	"context"
	"fmt"

	"example.com/gons/reexec"
)

var double = reexec.RegisterFunc("double", func(n int) (int, error) { return 2 * n, nil })

func init() { reexec.CheckAction() }

func main() {
	ctx := context.Background()
	fmt.Println(double.Call(ctx, 1))
	worker, err := double.Start(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(worker.Call(ctx, 2))
	fmt.Println(worker.Close())
}
`})
		try := func(cgo string) func() {
			return func() {
				Expect(typed.run([]string{cgo}, "go", "run", ".")).To(Equal("2 <nil>\n4 <nil>\n<nil>\n"))
			}
		}
		typed.settle()
		together(try("CGO_ENABLED=1"), try("CGO_ENABLED=0"))
	})

})
