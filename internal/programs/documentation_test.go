package programs

import (
	"fmt"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/birth"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// A snippet is a piece of Go in the documentation.
type snippet struct{ where, text string }

// snippets returns all of them, by page and number.
func snippets() (all []snippet) {
	GinkgoHelper()
	for _, page := range append(specs.OK(filepath.Glob("docs/*.md")), "README.md") {
		for _, found := range regexp.MustCompile("(?ms)^ *```go\n(.*?)^ *```$").FindAllStringSubmatch(read(page), -1) {
			all = append(all, snippet{page, found[1]})
		}
	}
	for _, page := range []string{"doc.go", "inside/doc.go", "testing/doc.go"} {
		file := specs.OK(parser.ParseFile(token.NewFileSet(), page, nil, parser.ParseComments|parser.PackageClauseOnly))
		for _, block := range new(comment.Parser).Parse(file.Doc.Text()).Content {
			if code, ok := block.(*comment.Code); ok && !isShell(code.Text) {
				all = append(all, snippet{page, code.Text})
			}
		}
	}
	return all
}

// isShell tells whether a text is to be run, or seen, in a shell.
func isShell(text string) bool { return regexp.MustCompile(`^(go|unshare|FAIL:) `).MatchString(text) }

var _ = Describe("documentation", func() {
	It("has Go snippets that build as they stand", func() {
		all := snippets()
		Expect(len(all)).To(BeNumerically(">", 4))
		module, list := newConsumer(nil), ""
		for i, s := range all {
			name := fmt.Sprintf("snippet%d/snippet.go", i)
			if strings.Contains(s.text, `"testing"`) {
				name = fmt.Sprintf("snippet%d/snippet_test.go", i)
			}
			list += fmt.Sprintf("%s is from %s\n", name, s.where)
			Expect(s.text).To(HavePrefix("package "), s.where)
			module.Write(name, s.text)
		}
		// vet compiles tests, too, and finds mistakes.
		out, err := module.Command(nil, "go", "vet", "./...").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s%s", list, out)
	})

	It("has programs that say how they are used", specs.Long, func() {
		module := newConsumer(nil)
		used := 0
		for _, s := range snippets() {
			if !strings.Contains(s.text, "reexec.Target(pid") {
				continue
			}
			used++
			module.Write("main.go", s.text)
			out, err := module.Command(nil, "go", "run", "main.go").CombinedOutput()
			Expect(err).To(HaveOccurred())
			Expect(string(out)).To(ContainSubstring(" usage: "), s.where)
			Expect(string(out)).NotTo(ContainSubstring("panic"), s.where)
		}
		Expect(used).To(BeNumerically(">", 2))
	})

	It("has cause and cure of each error that says what to do", func() {
		page := strings.Join(strings.Fields(strings.ReplaceAll(read("docs/errors.md"), "\n> ", "\n")), " ")
		for _, hint := range []string{
			birth.Hint(syscall.EPERM, "user", ""), birth.Hint(syscall.EPERM, "net", ""),
			birth.Hint(syscall.EINVAL, "user", ""), birth.Hint(syscall.EINVAL, "pid", ""), birth.Hint(syscall.EINVAL, "net", ""),
			birth.Hint(syscall.EACCES, "net", "/proc/42/ns/net"), birth.Hint(syscall.ENOENT, "net", "/proc/42/ns/net"),
			birth.Hint(syscall.ENOMEM, "pid", ""), birth.NoProc,
			birth.HintNew(syscall.EPERM), birth.HintNew(syscall.EINVAL), birth.HintNew(syscall.ENOSPC),
		} {
			Expect(hint).NotTo(BeEmpty())
			Expect(page).To(ContainSubstring(hint))
		}
	})

	It("shows the same smallest program in README and package documentation", func() {
		var programs []string
		for _, s := range snippets() {
			if strings.Contains(s.text, "hostname.Call(") {
				programs = append(programs, s.text)
			}
		}
		Expect(len(programs)).To(BeNumerically(">", 1))
		Expect(programs).To(HaveEach(programs[0]))
	})
})
