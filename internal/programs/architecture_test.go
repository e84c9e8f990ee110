package programs

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// imports returns which package of this module imports which, on any system, as the lines of a
// diagram: "child --> birth".
func imports() (edges []string) {
	GinkgoHelper()
	const module = "example.com/gons/reexec"
	room := func(dir string) string {
		if dir == "." || dir == "" {
			return "root"
		}
		return path.Base(dir)
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
			imported := strings.Trim(spec.Path.Value, `"`)
			if within, ok := strings.CutPrefix(imported, module); ok {
				seen[room(filepath.ToSlash(filepath.Dir(name)))+" --> "+room(strings.TrimPrefix(within, "/"))] = true
			}
		}
		return nil
	})).To(Succeed())
	for edge := range seen {
		edges = append(edges, edge)
	}
	return edges
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
		packages, err := exec.Command("go", "list", "-deps", ".").Output()
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Fields(string(packages))).To(And(ContainElement("os"), Not(ContainElement("net"))))
	})

})
