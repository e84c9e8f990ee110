package testsupport

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("a parent", func() {
	BeforeEach(func() {
		before := collecting.Swap(nil) // these specs may themselves be covered
		DeferCleanup(func() {
			collecting.Store(before)
			runtime.GC() // closes what the spec has collected into
		})
	})

	It("leaves children alone when it is not covered", func() {
		cmd := &exec.Cmd{Env: []string{"FOO=bar", "GOCOVERDIR=/somewhere"}}
		Cover(cmd)
		Expect(cmd).To(Equal(&exec.Cmd{Env: []string{"FOO=bar", "GOCOVERDIR=/somewhere"}}))
	})

	It("hands the directory to children", func() {
		dir := GinkgoT().TempDir()
		link := filepath.Join(GinkgoT().TempDir(), "link")
		Expect(os.Symlink(dir, link)).To(Succeed())
		Expect(Collect(link, "")).To(Equal(dir))

		cmd := &exec.Cmd{Env: []string{"GOCOVERDIR=/somewhere"}, ExtraFiles: []*os.File{nil, os.Stdin}}
		Cover(cmd)
		Expect(Lookup(cmd.Env, "GOCOVERDIR")).To(Equal(dir))
		Expect(Lookup(cmd.Env, "gons_reexec_fd_coverdir")).To(Equal("5"))
		Expect(cmd.ExtraFiles).To(HaveLen(3))
		Expect(cmd.ExtraFiles[2].Name()).To(Equal(dir))
	})

	It("hands down the directory of its environment, unless data is wanted elsewhere", func() {
		dir := GinkgoT().TempDir()
		Expect(Collect(dir, "as/inherited")).To(Equal(dir))

		cmd := &exec.Cmd{Env: []string{"GOCOVERDIR=as/inherited"}}
		Cover(cmd)
		Expect(cmd.Env[1:]).To(Equal([]string{"GOCOVERDIR=" + dir, fmt.Sprint("gons_reexec_fd_coverdir=", 3)}))

		cmd = &exec.Cmd{Env: []string{"GOCOVERDIR=as/inherited", "GOCOVERDIR=/elsewhere"}}
		Cover(cmd)
		Expect(cmd.Env).To(HaveLen(2))
		Expect(cmd.ExtraFiles).To(BeEmpty())
	})

	It("says which directory it cannot use", func() {
		Expect(Collect("/not/there", "")).Error().To(And(MatchError(os.ErrNotExist), MatchError(ContainSubstring("/not"))))
	})
})

var _ = It("a process that leaves no coverage data panics as ever", func() {
	defer func(before bool) { covering = before }(covering)
	covering = false
	Expect(func() {
		defer ExitOnPanic()
		panic("D'oh!")
	}).To(PanicWith("D'oh!"))
})
