package testing

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// elsewhere returns a variable that has children of the consumer join namespaces of a neighbour, and the neighbour's root directory.
func elsewhere(kinds ...string) (namespaces, root string) {
	GinkgoHelper()
	if os.Geteuid() != 0 && !slices.Contains(kinds, "user") {
		kinds = append([]string{"user"}, kinds...)
	}
	n := specs.NewNeighbour(kinds...)
	namespaces = "CONSUMER_NAMESPACES="
	for _, kind := range kinds {
		if kind == "user" || kind == "mnt" || kind == "pid" {
			namespaces += "!" + kind + "=" + n.Path(kind) + ","
		}
	}
	return namespaces, fmt.Sprintf("/proc/%d/root", n.PID)
}

// expectEmpty expects nothing to be in a directory of the neighbour, which itself stays in its old root.
func expectEmpty(root, mount, dir string) {
	GinkgoHelper()
	if word, _, _ := strings.Cut(mount, " "); word == "root" {
		root = filepath.Join(root, dir)
	}
	if mount != "no /" {
		Expect(files(filepath.Join(root, dir))).To(BeEmpty())
	}
}

var _ = Describe("coverage of re-executed children on Linux", func() {
	DescribeTable("counts where an action", func(test string) { runTest(nil, test).expect(half) },
		Entry("starts a program", "TestDescriptors"),
		Entry("has taken the descriptor of the directory, and writes nothing elsewhere", "TestTakenDescriptors"), // by way of its path
	)

	DescribeTable("counts of children of root that are another user", func(test string) {
		if os.Geteuid() != 0 {
			Skip("needs root to drop privileges")
		}
		dir := GinkgoT().TempDir()
		runTest(nil, test, "-test.gocoverdir="+dir).expect(half)
		Expect(specs.OK(os.Stat(dir)).Mode().Perm()).NotTo(Equal(os.FileMode(0o777)), "it is open to all only during the tests")
	},
		Entry("since the parent has dropped privileges", "TestCredential"),
		Entry("since the action has dropped privileges", "TestSetuid"),
	)

	It("does not fail where there is no room for the data", func() {
		runTest(nil, "TestNoRoom", "-test.gocoverdir="+GinkgoT().TempDir()).expect(parentOnly) // this is what Go cannot do
	})

	DescribeTable("children are in other namespaces", func(test string, kinds ...string) {
		namespaces, _ := elsewhere(kinds...)
		runTest([]string{namespaces}, test).expect(half)
	},
		Entry("of type mnt, with nothing but an empty root", "TestAnswer", "mnt", "no /"),
		Entry("of type mnt, with nothing but an empty root, where an action panics", "TestPanic", "mnt", "no /"),
		Entry("of type mnt, with nothing but an empty root, where a function panics", "TestFuncPanic", "mnt", "no /"),
		Entry("of type user", "TestAnswer", "user"),
		Entry("of type user, with another root", "TestChroot", "user"),
		Entry("of type pid", "TestAnswer", "pid"),
		Entry("of type pid, with a panic", "TestPanic", "pid"),
		Entry("of types user and pid", "TestAnswer", "user", "pid"),
		Entry("of types user, mnt and pid", "TestAnswer", "user", "mnt", "pid"),
	)

	DescribeTable("leaves a directory of the same name empty", func(mount, test, percentage string) {
		dir := GinkgoT().TempDir()
		namespaces, root := elsewhere("mnt", mount+" "+dir)
		r := runTest([]string{namespaces}, test, "-test.gocoverdir="+dir)
		if percentage == half {
			Expect(r.err).NotTo(HaveOccurred(), "%s", r.out)
			expectData(dir, half)
		}
		Expect(percentages(printedRe, r.out)).To(Equal([]string{percentage}))
		expectEmpty(root, mount, dir)
	},
		Entry("with /proc", "no", "TestAnswer", half),
		Entry("with /proc, after os.Exit", "no", "TestExit", half),
		Entry("without /proc", "root", "TestAnswer", half),
		Entry("without /proc, after os.Exit", "root", "TestExit", parentOnly), // this is what Go cannot do
	)

	DescribeTable("counts of children that are root of a user namespace, and another user here", func(kinds ...string) {
		if os.Geteuid() != 0 {
			Skip("needs root to map IDs")
		}
		dir := filepath.Join(GinkgoT().TempDir(), "data") // they cannot go there by its path
		Expect(os.Mkdir(dir, 0o700)).To(Succeed())
		namespaces, _ := elsewhere(append(kinds, "mapped")...)
		runTest([]string{namespaces}, "TestAnswer", "-test.gocoverdir="+dir).expect(half)
	},
		Entry("of type user", "user"),
		Entry("with files of its own", "user", "mnt"),
		Entry("in all namespaces", "user", "mnt", "pid"),
	)

	When("a program is built by go build -cover", func() {
		DescribeTable("counts children in another mount namespace", func(mount string) {
			dir := GinkgoT().TempDir()
			namespaces, root := elsewhere("mnt", strings.ReplaceAll(mount, "DIR", dir))
			Expect(succeed([]string{"GOCOVERDIR=" + dir, namespaces}, program())).To(Equal("/\n"))
			expectData(dir, half)
			expectEmpty(root, mount, dir)
		},
			Entry("with a directory of the same name and /proc", "no DIR"),
			Entry("with a directory of the same name without /proc", "root DIR"),
			Entry("with nothing but an empty root", "no /"),
		)

		It("counts children that end in os.Exit in another mount namespace", func() {
			dir := GinkgoT().TempDir()
			namespaces, _ := elsewhere("mnt", "no "+dir)
			out, err := output([]string{"GOCOVERDIR=" + dir, namespaces}, program(), "exit")
			Expect(err).To(MatchError("exit status 1"), "%s", out)
			Expect(out).To(ContainSubstring("exit status 3"))
			expectData(dir, half)
		})

		It("works without GOCOVERDIR and children in another mount namespace", func() {
			namespaces, _ := elsewhere("mnt", "no /")
			Expect(consumer.Command([]string{namespaces}, program()).Output()).To(BeEquivalentTo("/\n"))
		})

		It("counts in a directory relative to where the program starts", func() {
			dir := specs.OK(os.MkdirTemp(consumer.Dir, "coverdata-"))
			namespaces, _ := elsewhere("mnt", "no /")
			succeed([]string{"GOCOVERDIR=" + filepath.Base(dir), namespaces}, program())
			expectData(dir, half)
		})
	})
})
