package testing

import (
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// namespaces tells the consumer which ones its children are to join.
func namespaces(references []string) []string {
	return []string{"CONSUMER_NAMESPACES=" + strings.Join(references, ",")}
}

var _ = Describe("coverage of re-executed children on Linux", func() {

	BeforeEach(buildsBinaries)

	It("counts where an action starts a program", func() { expectHalf(nil, "TestDescriptors") })

	It("writes nothing elsewhere if an action has taken the descriptor of the directory", func() {
		expectHalf(nil, "TestTakenDescriptors") // by way of its path
	})

	DescribeTable("does not fail where a child may not leave its data", func(test string) {
		if os.Geteuid() != 0 {
			Skip("needs root to drop privileges")
		}
		dir := GinkgoT().TempDir()
		out, _, err := runTest(nil, test, "-test.gocoverdir="+dir)
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(printed(out)).To(Equal([]string{"25.0"}), "this is what Go cannot do")
	},
		Entry("since its parent has dropped privileges", "TestCredential"),
		Entry("since its action has dropped privileges", "TestSetuid"),
	)

	It("does not fail where there is no room for a child's data", func() {
		out, _, err := runTest(nil, "TestNoRoom")
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(printed(out)).To(Equal([]string{"25.0"}), "this is what Go cannot do")
	})

	When("children are in another mount namespace", func() {

		DescribeTable("counts where there is nothing but an empty root", func(test string) {
			references, _ := elsewhere([]string{"mnt"}, emptyRoot, "")
			expectHalf(namespaces(references), test)
		},
			Entry("an action", "TestAnswer"),
			Entry("an action that panics", "TestPanic"),
			Entry("a function that panics", "TestFuncPanic"),
		)

		DescribeTable("leaves a directory of the same name empty", func(script, look, test string) {
			dir := GinkgoT().TempDir()
			references, finish := elsewhere([]string{"mnt"}, script, look+"; echo looked", dir)
			expectHalf(namespaces(references), test, "-test.gocoverdir="+dir)
			Expect(finish()).To(Equal("looked\n"))
			Expect(data(dir)).To(Equal([]string{half}))
		},
			Entry("with /proc", otherDir, `ls -A "$1"`, "TestAnswer"),
			Entry("with /proc, after os.Exit", otherDir, `ls -A "$1"`, "TestExit"),
			Entry("without /proc", otherRoot, `ls -A "$1/$1"`, "TestAnswer"),
		)

		It("writes nothing elsewhere after os.Exit without /proc", func() {
			dir := GinkgoT().TempDir()
			references, finish := elsewhere([]string{"mnt"}, otherRoot, `ls -A "$1/$1"; echo looked`, dir)
			out, _, _ := runTest(namespaces(references), "TestExit", "-test.gocoverdir="+dir)
			Expect(printed(out)).To(Equal([]string{"25.0"}), "this is what Go cannot do")
			Expect(finish()).To(Equal("looked\n"))
		})

	})

	DescribeTable("children are in another namespace", func(test string, types ...string) {
		references, _ := elsewhere(types, "", "")
		expectHalf(namespaces(references), test)
	},
		Entry("of type user", "TestAnswer", "user"),
		Entry("of type user, with another root", "TestChroot", "user"),
		Entry("of type pid", "TestAnswer", "pid"),
		Entry("of type pid, with a panic", "TestPanic", "pid"),
		Entry("of types user and pid", "TestAnswer", "user", "pid"),
		Entry("of types user, mnt and pid", "TestAnswer", "user", "mnt", "pid"),
	)

	DescribeTable("children are another user", func(mode os.FileMode, covered, test string, types ...string) {
		if os.Geteuid() != 0 {
			Skip("needs root to map IDs")
		}
		dir := filepath.Join(GinkgoT().TempDir(), "data") // they cannot go there by its path
		Expect(os.Mkdir(dir, 0o700)).To(Succeed())
		Expect(os.Chmod(dir, mode)).To(Succeed())
		references, _ := elsewhere(append(types, "mapped"), "", "")
		out, profile, err := runTest(namespaces(references), test, "-test.gocoverdir="+dir)
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(printed(out)).To(Equal([]string{covered}))
		Expect(total(profile)).To(Equal([]string{covered}))
	},
		Entry("who may write to the directory", os.FileMode(0o777)|os.ModeSticky, half, "TestAnswer", "user"),
		Entry("who may write to it, in all namespaces", os.FileMode(0o777)|os.ModeSticky, half, "TestAnswer", "user", "mnt", "pid"),
		Entry("who may not", os.FileMode(0o755), "25.0", "TestAnswer", "user", "mnt"),
	)

	When("a program is built by go build -cover", func() {

		DescribeTable("counts children in another mount namespace", func(script, look, wd string) {
			dir := GinkgoT().TempDir()
			references, finish := elsewhere([]string{"mnt"}, script, look+"; echo looked", dir)
			Expect(succeed([]string{"GOCOVERDIR=" + dir}, program(), references...)).To(Equal(wd + "\n"))
			Expect(finish()).To(Equal("looked\n"))
			Expect(data(dir)).To(Equal([]string{half}))
		},
			Entry("with a directory of the same name and /proc", otherDir, `ls -A "$1"`, "/"),
			Entry("with a directory of the same name without /proc", otherRoot, `ls -A "$1/$1"`, "/"),
			Entry("with nothing but an empty root", emptyRoot, "true", "/"),
		)

		It("counts children that end in os.Exit in another mount namespace", func() {
			dir := GinkgoT().TempDir()
			references, _ := elsewhere([]string{"mnt"}, otherDir, "", dir)
			out, err := output([]string{"GOCOVERDIR=" + dir}, program(), append([]string{"exit"}, references...)...)
			Expect(err).To(MatchError("exit status 1"), "%s", out)
			Expect(out).To(ContainSubstring("exit status 3"))
			Expect(data(dir)).To(Equal([]string{half}))
		})

		It("works without GOCOVERDIR and children in another mount namespace", func() {
			references, _ := elsewhere([]string{"mnt"}, emptyRoot, "")
			Expect(command(nil, program(), references...).Output()).To(BeEquivalentTo("/\n"))
		})

		It("counts in a directory relative to where the program starts", func() {
			dir, err := os.MkdirTemp(consumer, "coverdata-")
			Expect(err).NotTo(HaveOccurred())
			references, _ := elsewhere([]string{"mnt"}, emptyRoot, "")
			succeed([]string{"GOCOVERDIR=" + filepath.Base(dir)}, program(), references...)
			Expect(data(dir)).To(Equal([]string{half}))
		})

	})

})
