package testing

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// half is the right answer in all specs, see testdata/consumer; and parentOnly where the data of children cannot be had.
const half, parentOnly = "50.0", "25.0"

// consumer is a module that uses this one.
var consumer specs.Module

var _ = BeforeSuite(func() {
	consumer = specs.NewModule(GinkgoT().TempDir(), "..")
	Expect(os.CopyFS(consumer.Dir, os.DirFS("testdata/consumer"))).To(Succeed())
})

// output runs a command in the consumer's folder and returns all that it prints.
func output(env []string, name string, args ...string) (string, error) {
	out, err := consumer.Command(env, name, args...).CombinedOutput()
	AddReportEntry(name+" "+strings.Join(args, " "), string(out), ReportEntryVisibilityFailureOrVerbose)
	return string(out), err
}

// succeed is output of a command that must not fail.
func succeed(env []string, name string, args ...string) string {
	GinkgoHelper()
	out, err := output(env, name, args...)
	Expect(err).NotTo(HaveOccurred(), "%s", out)
	return out
}

// built returns the path of what the go command has built, once for all specs.
func built(name string, args ...string) func() string {
	return sync.OnceValue(func() string {
		GinkgoHelper()
		path := filepath.Join(consumer.Dir, name)
		succeed(nil, "go", append([]string{args[0], "-o", path}, args[1:]...)...)
		return path
	})
}

var (
	testBinary = built("built-test", "test", "-c", "-cover", "-covermode=count", "an.example/consumer")
	program    = built("built-program", "build", "-cover", "an.example/consumer/testdata/program")
)

var (
	printedRe = regexp.MustCompile(`(?m)^(?:ok\s.*\s)?(?:composite )?coverage: (\d+\.\d)% of statements`)
	blockRe   = regexp.MustCompile(`(?m)^(.*:\d.*) (\d+) (\d+)$`)
	dataRe    = regexp.MustCompile(`coverage: (\d+\.\d)% of statements`)
)

func percentages(re *regexp.Regexp, s string) (percentages []string) {
	for _, match := range re.FindAllStringSubmatch(s, -1) {
		percentages = append(percentages, match[1])
	}
	return percentages
}

// total returns the percentage in a profile. Its lines are blocks, with their numbers of
// statements and how often they were run; there is one for each binary that a block is in.
func total(profile string) string {
	GinkgoHelper()
	statements, run := map[string]int{}, map[string]bool{}
	for _, line := range blockRe.FindAllStringSubmatch(string(specs.OK(os.ReadFile(profile))), -1) {
		statements[line[1]] = specs.OK(strconv.Atoi(line[2]))
		run[line[1]] = run[line[1]] || line[3] != "0"
	}
	all, covered := 0, 0
	for block, n := range statements {
		all += n
		if run[block] {
			covered += n
		}
	}
	return fmt.Sprintf("%.1f", 100*float64(covered)/float64(all))
}

// expectData expects a percentage of the consumer itself in raw coverage data.
func expectData(dir, percentage string) {
	GinkgoHelper()
	out := succeed(nil, "go", "tool", "covdata", "percent", "-pkg=an.example/consumer", "-i="+dir)
	Expect(percentages(dataRe, out)).To(Equal([]string{percentage}))
}

// A result is what has come of tests.
type result struct {
	out     string // what they have printed
	profile string
	err     error
}

// expect expects tests to succeed, and that they and their children together cover a percentage.
func (r result) expect(percentage string) {
	GinkgoHelper()
	Expect(r.err).NotTo(HaveOccurred(), "%s", r.out)
	r.expectCovered(percentage)
}

func (r result) expectCovered(percentage string) {
	GinkgoHelper()
	Expect(percentages(printedRe, r.out)).To(Equal([]string{percentage}), "%s", r.out)
	Expect(total(r.profile)).To(Equal(percentage))
}

// runTest does what the go command does once it has built the test binary of the consumer. Later flags win over those which
// that sets.
func runTest(env []string, test string, flags ...string) (r result) {
	GinkgoHelper()
	r.profile = filepath.Join(GinkgoT().TempDir(), "profile")
	flags = append([]string{"-test.coverprofile=" + r.profile, "-test.gocoverdir=" + GinkgoT().TempDir(),
		"-test.paniconexit0", "-test.timeout=10m0s", "-test.run=^" + test + "$"}, flags...)
	r.out, r.err = output(env, testBinary(), flags...)
	return r
}

// files returns the names of the files in a folder.
func files(dir string) (names []string) {
	GinkgoHelper()
	for _, entry := range specs.OK(os.ReadDir(dir)) {
		names = append(names, entry.Name())
	}
	return names
}
