package testing

import (
	"os"
	"path/filepath"
	"strings"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("coverage of re-executed children", func() {
	DescribeTable("go test", func(args ...string) {
		dir := GinkgoT().TempDir()
		r := result{profile: filepath.Join(dir, "profile")}
		args = append([]string{"test", "-count=1", "-cover", "-coverprofile=profile", "-outputdir=" + dir, "-run=^TestAnswer$"}, args...)
		if r.out, r.err = output(nil, "go", args...); strings.Contains(r.out, "-race requires cgo") {
			Skip(r.out)
		}
		r.expect(half)
	},
		Entry("counts once", "-covermode=set"),
		Entry("counts atomically", specs.Long, "-covermode=atomic"),
		Entry("counts with the race detector", specs.Long, "-race"),
		Entry("counts all packages", specs.Long, "-coverpkg=./...", "./..."),
		Entry("counts several runs", specs.Long, "-count=2"),
	)

	DescribeTable("a test", func(test string) { runTest(nil, test).expect(half) },
		Entry("that changes the working directory", "TestOtherDirectory"),
		Entry("whose action panics", "TestPanic"),
		Entry("whose action ends in os.Exit", "TestExit"),
		Entry("that calls a function", "TestFunc"),
		Entry("that calls a function that panics", "TestFuncPanic"),
	)

	It("adds up how often 50 children at a time run a statement", func() {
		r := runTest(nil, "TestMany")
		r.expect(half)
		Expect(os.ReadFile(r.profile)).To(ContainSubstring(" 1 50\n"))
	})

	It("counts where a test fails", func() {
		r := runTest(nil, "TestFailure")
		Expect(r.err).To(HaveOccurred())
		Expect(r.out).To(ContainSubstring("fails on purpose"))
		r.expectCovered(half)
	})

	It("takes what the runtime adds to a line of stderr out of it where a package has nothing to count", func() {
		succeed(nil, "go", "test", "-count=1", "-cover", "./testdata/bare")
	})

	It("counts in the directory that the user wants", func() {
		dir := GinkgoT().TempDir()
		runTest(nil, "TestAnswer", "-test.gocoverdir="+dir).expect(half)
		expectData(dir, half)
	})

	When("a test binary is run by hand", func() {
		run := func(variable, test string, flags ...string) {
			GinkgoHelper()
			out := succeed([]string{variable}, testBinary(), append(flags, "-test.run="+test)...)
			Expect(percentages(printedRe, out)).To(Equal([]string{half}))
		}

		It("counts without flags, and leaves nothing behind", func() {
			dir := GinkgoT().TempDir()
			run("TMPDIR="+dir, "TestAnswer")
			Expect(files(dir)).To(BeEmpty())
		})

		It("counts in the profile, and leaves nothing behind", func() {
			dir, profile := GinkgoT().TempDir(), filepath.Join(GinkgoT().TempDir(), "profile")
			run("TMPDIR="+dir, "TestAnswer", "-test.coverprofile="+profile)
			Expect(total(profile)).To(Equal(half))
			Expect(files(dir)).To(BeEmpty())
		})

		It("counts in the directory of the flag, not in that of the environment", func() {
			dir, other := GinkgoT().TempDir(), GinkgoT().TempDir()
			run("GOCOVERDIR="+other, "TestAnswer", "-test.gocoverdir="+dir)
			expectData(dir, half)
			Expect(files(other)).To(BeEmpty())
		})

		It("counts in a directory relative to where the test starts", func() {
			dir := specs.OK(os.MkdirTemp(consumer.Dir, "coverdata-"))
			run("A=1", "TestOtherDirectory", "-test.gocoverdir="+filepath.Base(dir))
			expectData(dir, half)
		})

		It("says which directory it cannot use", func() {
			out, err := output(nil, testBinary(), "-test.gocoverdir=/not/there")
			Expect(err).To(MatchError("exit status 2"))
			Expect(out).To(MatchRegexp("(?m)^cannot collect coverage data of re-executed children: .*/not.*: no such file or directory$"))
		})
	})

	DescribeTable("Ginkgo's CLI counts", specs.Long, func(args ...string) {
		cli := filepath.Join(consumer.Dir, "ginkgo")
		out, err := output(nil, "go", "build", "-o", cli, "github.com/onsi/ginkgo/v2/ginkgo")
		if err != nil && strings.Contains(out, "GOPROXY=off") {
			Skip("needs all modules of Ginkgo's CLI in the module cache: go mod download")
		}
		Expect(err).NotTo(HaveOccurred(), "%s", out)

		dir := GinkgoT().TempDir()
		args = append([]string{"-cover", "-coverpkg=an.example/consumer", "-coverprofile=profile", "-output-dir=" + dir}, args...)
		printed := percentages(printedRe, succeed(nil, cli, append(args, "./testdata/suite")...))
		Expect(printed).NotTo(BeEmpty(), "%s", out)
		Expect(printed[len(printed)-1]).To(Equal(half))
		Expect(total(filepath.Join(dir, "profile"))).To(Equal(half))
	},
		Entry("in one process"),
		Entry("in parallel", "-p"),
		Entry("in four processes", "--procs=4"),
	)

	When("a program is built by go build -cover", func() {
		It("works without GOCOVERDIR", func() {
			Expect(consumer.Command(nil, program()).Output()).To(BeEquivalentTo(consumer.Dir + "\n"))
		})

		It("passes on no warnings of its children without GOCOVERDIR", func() {
			Expect(consumer.Command(nil, program(), "stderr").Output()).To(BeEquivalentTo("function\n"))
		})

		It("counts with GOCOVERDIR", func() {
			dir := GinkgoT().TempDir()
			Expect(succeed([]string{"GOCOVERDIR=" + dir}, program())).To(Equal(consumer.Dir + "\n"))
			expectData(dir, half)
		})
	})
})
