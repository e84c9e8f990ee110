package testing

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("coverage of re-executed children", func() {

	BeforeEach(func() {
		if testing.Short() {
			Skip("builds and runs other test binaries")
		}
	})

	// goTest tests a test function of the consumer with coverage, and returns
	// what the go command has printed, and the profile.
	goTest := func(env []string, test string, args ...string) (out, profile string, err error) {
		profile = filepath.Join(GinkgoT().TempDir(), "profile")
		args = append([]string{"test", "-count=1", "-cover", "-coverprofile=" + profile, "-run=^" + test + "$"}, args...)
		out, err = output(env, "go", args...)
		return out, profile, err
	}

	// expectHalf expects that tests succeed and that they and their children
	// together cover one half.
	expectHalf := func(env []string, test string, args ...string) {
		GinkgoHelper()
		out, profile, err := goTest(env, test, args...)
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(printed(out)).To(Equal([]string{half}), "%s", out)
		Expect(total(profile)).To(Equal([]string{half}))
	}

	// namespaces tells the consumer which ones its children are to join.
	namespaces := func(references []string) []string {
		return []string{"CONSUMER_NAMESPACES=" + strings.Join(references, ",")}
	}

	files := func(dir string) (names []string) {
		GinkgoHelper()
		entries, err := os.ReadDir(dir)
		Expect(err).NotTo(HaveOccurred())
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		return names
	}

	DescribeTable("go test", func(args ...string) {
		if slices.Contains(args, "-race") {
			needsCgo()
		}
		expectHalf(nil, "TestAnswer", args...)
	},
		Entry("counts once", "-covermode=set"),
		Entry("counts", "-covermode=count"),
		Entry("counts atomically", "-covermode=atomic"),
		Entry("counts with the race detector", "-race"),
		Entry("counts all packages", "-coverpkg=./...", "./..."),
		Entry("counts several runs", "-count=2"),
	)

	DescribeTable("go test with a test", func(test string) {
		expectHalf(nil, test)
	},
		Entry("that has 50 children at a time", "TestMany"),
		Entry("that changes the working directory", "TestOtherDirectory"),
		Entry("whose action starts a program", "TestDescriptors"),
		Entry("whose action panics", "TestPanic"),
		Entry("whose action ends in os.Exit", "TestExit"),
		Entry("that calls a function", "TestFunc"),
		Entry("that calls a function that panics", "TestFuncPanic"),
	)

	It("writes nothing elsewhere if an action has taken the descriptor of the directory", func() {
		out, _, err := goTest(nil, "TestTakenDescriptors")
		Expect(err).NotTo(HaveOccurred(), "%s", out)
	})

	It("adds up how often children run a statement", func() {
		out, profile, err := goTest(nil, "TestMany", "-covermode=count")
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(os.ReadFile(profile)).To(ContainSubstring(" 1 50\n"))
	})

	It("counts where a test fails", func() {
		out, profile, err := goTest(nil, "TestFailure")
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("fails on purpose"))
		Expect(printed(out)).To(Equal([]string{half}))
		Expect(total(profile)).To(Equal([]string{half}))
	})

	DescribeTable("does not fail where a child may not leave its data", func(test string) {
		if os.Geteuid() != 0 {
			Skip("needs root to drop privileges")
		}
		dir := GinkgoT().TempDir()
		out, _, err := goTest(nil, test, "-args", "-test.gocoverdir="+dir)
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		Expect(printed(out)).To(Equal([]string{"25.0"}), "this is what Go cannot do")
	},
		Entry("since its parent has dropped privileges", "TestCredential"),
		Entry("since its action has dropped privileges", "TestSetuid"),
	)

	It("writes the profile to an output directory", func() {
		dir := GinkgoT().TempDir()
		out := succeed(nil, "go", "test", "-count=1", "-cover", "-coverprofile=profile", "-outputdir="+dir, "-run=TestAnswer")
		Expect(printed(out)).To(Equal([]string{half}))
		Expect(total(filepath.Join(dir, "profile"))).To(Equal([]string{half}))
	})

	It("counts in the directory that the user wants", func() {
		dir := GinkgoT().TempDir()
		expectHalf(nil, "TestAnswer", "-args", "-test.gocoverdir="+dir)
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
		ginkgo := filepath.Join(consumer, "ginkgo")
		out, err := output(nil, "go", "build", "-o", ginkgo, "github.com/onsi/ginkgo/v2/ginkgo")
		if err != nil && strings.Contains(out, "GOPROXY=off") {
			Skip("needs all modules of Ginkgo's CLI in the module cache: go mod download")
		}
		Expect(err).NotTo(HaveOccurred(), "%s", out)

		dir := GinkgoT().TempDir()
		args = append([]string{"-cover", "-coverpkg=example.com/consumer", "-coverprofile=profile", "-output-dir=" + dir}, args...)
		out = succeed(nil, ginkgo, append(args, "./testdata/suite")...)
		Expect(printed(out)).NotTo(BeEmpty(), "%s", out)
		Expect(printed(out)[len(printed(out))-1]).To(Equal(half), "%s", out)
		Expect(total(filepath.Join(dir, "profile"))).To(Equal([]string{half}))
	},
		Entry("in one process"),
		Entry("in parallel", "-p"),
		Entry("in four processes", "--procs=4"),
	)

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
			expectHalf(namespaces(references), test, "-args", "-test.gocoverdir="+dir)
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
			out, _, _ := goTest(namespaces(references), "TestExit", "-args", "-test.gocoverdir="+dir)
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
