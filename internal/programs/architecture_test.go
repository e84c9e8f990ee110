package programs

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// imports returns which package of this module imports which, on any system, as the lines of a
// diagram: "child --> birth".
func imports() []string {
	GinkgoHelper()
	room := func(dir string) string {
		if name := path.Base(dir); name != "." {
			return name
		}
		return "root"
	}
	seen := map[string]bool{}
	Expect(filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if _, err := os.Stat(filepath.Join(name, "go.mod")); (err == nil && name != ".") ||
				entry.Name() == "testdata" || entry.Name() == "examples" || name != "." && strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			if within, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), "example.com/gons/reexec"); ok {
				seen[room(filepath.ToSlash(filepath.Dir(name)))+" --> "+room(within)] = true
			}
		}
		return nil
	})).To(Succeed())
	return slices.Collect(maps.Keys(seen))
}

var _ = Describe("architecture", func() {
	It("is what the documentation draws", func() {
		_, diagram, _ := strings.Cut(read("docs/architecture.md"), "graph TD\n")
		diagram, _, _ = strings.Cut(diagram, "```")
		drawn := regexp.MustCompile(`\w+ --> \w+`).FindAllString(diagram, -1)
		Expect(drawn).NotTo(BeEmpty())
		Expect(imports()).To(ConsistOf(drawn))
		Expect(drawn).To(HaveEach(Or(HavePrefix("inside "), Not(HaveSuffix("--> root")))), "no room imports the root")
	})

	It("spares programs package net, unless they import package inside", func() {
		newConsumer(nil) // skips where nothing can be built
		packages := specs.OK(exec.Command("go", "list", "-deps", ".").Output())
		Expect(strings.Fields(string(packages))).To(And(ContainElement("os"), Not(ContainElement("net"))))
	})
})
