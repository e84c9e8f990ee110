package programs

import (
	"path/filepath"
	"strings"

	"example.com/gons/reexec/internal/specs"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// moveLine is all it takes to move a program from the original to this module.
// The README quotes it.
const moveLine = `grep -rl --include='*.go' github.com/thediveo/gons/reexec . | ` +
	`xargs -r sed -i 's#github.com/thediveo/gons/reexec#example.com/gons/reexec#g'`

// originalProgram is written for the original. It visits the namespaces that its
// environment names.
const originalProgram = `package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/thediveo/gons/reexec"
)

type greeting struct{ Text, Greeter, Network string }

func init() {
	reexec.Register("greet", func() {
		var name string
		if err := json.NewDecoder(os.Stdin).Decode(&name); err != nil {
			fmt.Fprint(os.Stderr, err)
			return
		}
		network, _ := os.Readlink("/proc/self/ns/net")
		json.NewEncoder(os.Stdout).Encode(greeting{"Hello " + name, os.Getenv("GREETER"), network})
	})
	reexec.Register("network", func() {
		network, _ := os.Readlink("/proc/self/ns/net")
		json.NewEncoder(os.Stdout).Encode(network)
	})
}

func namespaces() (namespaces []reexec.Namespace) {
	for _, ns := range strings.Fields(os.Getenv("VISIT")) {
		typ, path, _ := strings.Cut(ns, "=")
		namespaces = append(namespaces, reexec.Namespace{Type: typ, Path: path})
	}
	return namespaces
}

func greet(name string) (g greeting, err error) {
	err = reexec.RunReexecAction("greet",
		reexec.Namespaces(namespaces()),
		reexec.Param(name),
		reexec.Result(&g),
		reexec.Environment([]string{"GREETER=gopher"}))
	return g, err
}

func network() (id string, err error) {
	err = reexec.ForkReexec("network", namespaces(), &id)
	return id, err
}

func main() {
	reexec.CheckAction()
	fmt.Println(greet("world"))
	fmt.Println(network())
}
`

// originalTest tests originalProgram.
const originalTest = `package main

import (
	"os"
	"testing"

	rxtst "github.com/thediveo/gons/reexec/testing"
)

func TestMain(m *testing.M) {
	mm := &rxtst.M{M: m}
	os.Exit(mm.Run())
}

func TestGreet(t *testing.T) {
	g, err := greet("test")
	if err != nil {
		t.Fatal(err)
	}
	id, err := network()
	if err != nil {
		t.Fatal(err)
	}
	own, _ := os.Readlink("/proc/self/ns/net")
	if g.Text != "Hello test" || g.Greeter != "gopher" || g.Network != id || id == own {
		t.Fatal(g, id, own)
	}
}
`

var _ = Describe("a program written for the original", func() {

	It("is moved to this module by one line", func() {
		program := newConsumer(map[string]string{"main.go": originalProgram, "main_test.go": originalTest})
		program.run(nil, "go", "mod", "edit", "-require=github.com/thediveo/gons@v0.9.9")

		kinds := []string{"user", "net"}
		if specs.IsRoot() {
			kinds = kinds[1:]
		}
		n := specs.NewNeighbour(kinds...)
		visit := "VISIT="
		for _, kind := range kinds {
			visit += " !" + kind + "=" + n.Path(kind)
		}
		env := []string{"CGO_ENABLED=1", visit}
		tryOut := func() (output, packages string) {
			GinkgoHelper()
			program.settle()
			together(func() {
				program.run(env, "go", "build", "-o", "program")
			}, func() {
				Expect(program.run(env, "go", "test", "-vet=off", "-count=1", "-v")).To(ContainSubstring("--- PASS: TestGreet"))
			})
			return program.run(env, filepath.Join(program.dir, "program")), program.run(env, "go", "list", "-deps", "-test")
		}

		before, packages := tryOut()
		Expect(before).To(Equal("{Hello world gopher " + n.ID("net") + "} <nil>\n" + n.ID("net") + " <nil>\n"))
		Expect(strings.Fields(packages)).To(ContainElement("github.com/thediveo/gons/reexec/testing"))

		program.run(nil, "sh", "-c", moveLine)
		after, packages := tryOut()
		Expect(after).To(Equal(before))
		Expect(strings.Fields(packages)).To(ContainElement("example.com/gons/reexec/testing"))
		Expect(packages).NotTo(ContainSubstring("github.com/thediveo/gons/reexec"))
	})

	It("is what the documentation says", func() {
		for _, page := range []string{"README.md", "docs/moving.md"} {
			Expect(read(page)).To(ContainSubstring("\n    " + moveLine + "\n"))
		}
	})

})
