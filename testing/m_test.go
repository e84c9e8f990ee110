package testing

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("coverage of re-executed children", func() {

	BeforeEach(buildsBinaries)

	DescribeTable("go test", func(args ...string) {
		if slices.Contains(args, "-race") {
			needsCgo()
		}
		out, profile, err := goTest("TestAnswer", args...)
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(printed(out)).To(Equal([]string{half}), "%s", out)
		Expect(total(profile)).To(Equal([]string{half}))
	},
		Entry("counts once", "-covermode=set"),
		Entry("counts", "-covermode=count"),
		Entry("counts atomically", "-covermode=atomic"),
		Entry("counts with the race detector", "-race"),
		Entry("counts all packages", "-coverpkg=./...", "./..."),
		Entry("counts several runs", "-count=2"),
	)

	DescribeTable("a test", func(test string) {
		expectHalf(nil, test)
	},
		Entry("that has 50 children at a time", "TestMany"),
		Entry("that changes the working directory", "TestOtherDirectory"),
		Entry("whose action panics", "TestPanic"),
		Entry("whose action ends in os.Exit", "TestExit"),
		Entry("that calls a function", "TestFunc"),
		Entry("that calls a function that panics", "TestFuncPanic"),
	)

	It("adds up how often children run a statement", func() {
		out, profile, err := goTest("TestMany", "-covermode=count")
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(os.ReadFile(profile)).To(ContainSubstring(" 1 50\n"))
	})

	It("counts where a test fails", func() {
		out, profile, err := goTest("TestFailure")
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("fails on purpose"))
		Expect(printed(out)).To(Equal([]string{half}))
		Expect(total(profile)).To(Equal([]string{half}))
	})

	It("writes the profile to an output directory", func() {
		dir := GinkgoT().TempDir()
		out := succeed(nil, "go", "test", "-count=1", "-cover", "-coverprofile=profile", "-outputdir="+dir, "-run=TestAnswer")
		Expect(printed(out)).To(Equal([]string{half}))
		Expect(total(filepath.Join(dir, "profile"))).To(Equal([]string{half}))
	})

	It("counts in the directory that the user wants", func() {
		dir := GinkgoT().TempDir()
		out, _, err := goTest("TestAnswer", "-args", "-test.gocoverdir="+dir)
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(printed(out)).To(Equal([]string{half}), "%s", out)
		Expect(data(dir)).To(Equal([]string{half}))
	})

	When("a test binary is run by hand", func() {

		It("counts without flags, and leaves nothing behind", func() {
			dir := GinkgoT().TempDir()
			out := succeed([]string{"TMPDIR=" + dir}, testBinary(), "-test.run=TestAnswer")
			Expect(printed(out)).To(Equal([]string{half}))
			Expect(files(dir)).To(BeEmpty())
		})

		It("counts in the profile, and leaves nothing behind", func() {
			dir, profile := GinkgoT().TempDir(), filepath.Join(GinkgoT().TempDir(), "profile")
			out := succeed([]string{"TMPDIR=" + dir}, testBinary(), "-test.run=TestAnswer", "-test.coverprofile="+profile)
			Expect(printed(out)).To(Equal([]string{half}))
			Expect(total(profile)).To(Equal([]string{half}))
			Expect(files(dir)).To(BeEmpty())
		})

		It("counts in the directory of the flag, not in that of the environment", func() {
			dir, other := GinkgoT().TempDir(), GinkgoT().TempDir()
			out := succeed([]string{"GOCOVERDIR=" + other}, testBinary(), "-test.run=TestAnswer", "-test.gocoverdir="+dir)
			Expect(printed(out)).To(Equal([]string{half}))
			Expect(data(dir)).To(Equal([]string{half}))
			Expect(files(other)).To(BeEmpty())
		})

		It("counts in a directory relative to where the test starts", func() {
			dir, err := os.MkdirTemp(consumer, "coverdata-")
			Expect(err).NotTo(HaveOccurred())
			out := succeed(nil, testBinary(), "-test.run=TestOtherDirectory", "-test.gocoverdir="+filepath.Base(dir))
			Expect(printed(out)).To(Equal([]string{half}))
			Expect(data(dir)).To(Equal([]string{half}))
		})

		It("says which directory it cannot use", func() {
			out, err := output(nil, testBinary(), "-test.gocoverdir=/not/there")
			Expect(err).To(MatchError("exit status 2"))
			Expect(out).To(MatchRegexp("(?m)^cannot collect coverage data of re-executed children: .*/not.*: no such file or directory$"))
		})

	})

	DescribeTable("Ginkgo's CLI counts", func(args ...string) {
		out, err := ginkgo()
		if err != nil && strings.Contains(out, "GOPROXY=off") {
			Skip("needs all modules of Ginkgo's CLI in the module cache: go mod download")
		}
		Expect(err).NotTo(HaveOccurred(), "%s", out)

		dir := GinkgoT().TempDir()
		args = append([]string{"-cover", "-coverpkg=example.com/consumer", "-coverprofile=profile", "-output-dir=" + dir}, args...)
		out = succeed(nil, filepath.Join(consumer, "ginkgo"), append(args, "./testdata/suite")...)
		Expect(printed(out)).NotTo(BeEmpty(), "%s", out)
		Expect(printed(out)[len(printed(out))-1]).To(Equal(half), "%s", out)
		Expect(total(filepath.Join(dir, "profile"))).To(Equal([]string{half}))
	},
		Entry("in one process"),
		Entry("in parallel", "-p"),
		Entry("in four processes", "--procs=4"),
	)

	When("a program is built by go build -cover", func() {

		It("works without GOCOVERDIR", func() {
			cmd := command(nil, program())
			Expect(cmd.Output()).To(BeEquivalentTo(consumer + "\n"))
		})

		It("passes on no warnings of its children without GOCOVERDIR", func() {
			out, err := command(nil, program(), "stderr").Output()
			Expect(err).NotTo(HaveOccurred())
			Expect(string(out)).To(Equal("function\n"))
		})

		It("counts with GOCOVERDIR", func() {
			dir := GinkgoT().TempDir()
			Expect(succeed([]string{"GOCOVERDIR=" + dir}, program())).To(Equal(consumer + "\n"))
			Expect(data(dir)).To(Equal([]string{half}))
		})

	})

})
