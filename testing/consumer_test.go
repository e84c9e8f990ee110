package testing

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// half is the right answer in all specs, see testdata/consumer.
const half = "50.0"

// consumer is the folder of a module that uses this one. It is built from the
// module cache alone.
var consumer string

var _ = BeforeSuite(func() {
	if testing.Short() {
		return
	}
	root, err := filepath.Abs("..")
	Expect(err).NotTo(HaveOccurred())
	consumer = GinkgoT().TempDir()
	Expect(os.CopyFS(consumer, os.DirFS("testdata/consumer"))).To(Succeed())

	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	Expect(err).NotTo(HaveOccurred())
	gomod = regexp.MustCompile(`(?m)^module .*`).ReplaceAll(gomod, []byte("module example.com/consumer"))
	gomod = append(gomod, "\nrequire example.com/gons/reexec v0.0.0\n"+
		"\nreplace example.com/gons/reexec => "+root+"\n"...)
	Expect(os.WriteFile(filepath.Join(consumer, "go.mod"), gomod, 0o644)).To(Succeed())
	gosum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(filepath.Join(consumer, "go.sum"), gosum, 0o644)).To(Succeed())
})

// command returns a command in the consumer's folder, with variables in addition
// to those that have nothing to do with coverage of these specs themselves.
func command(env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = consumer
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GOCOVERDIR=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "GOPROXY=off", "GOFLAGS=-mod=mod", "GOWORK=off", "PWD="+consumer)
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// output runs a command and returns all that it prints.
func output(env []string, name string, args ...string) (string, error) {
	out, err := command(env, name, args...).CombinedOutput()
	AddReportEntry(name+" "+strings.Join(args, " "), string(out), ReportEntryVisibilityFailureOrVerbose)
	return string(out), err
}

// needsCgo skips a spec where the consumer cannot join namespaces, and the race
// detector does not work either.
func needsCgo() {
	GinkgoHelper()
	if strings.TrimSpace(succeed(nil, "go", "env", "CGO_ENABLED")) != "1" {
		Skip("needs cgo")
	}
}

// succeed is output of a command that must not fail.
func succeed(env []string, name string, args ...string) string {
	GinkgoHelper()
	out, err := output(env, name, args...)
	Expect(err).NotTo(HaveOccurred(), "%s", out)
	return out
}

// built returns the path of what the go command has built, once for all specs.
func built(args ...string) func() string {
	return sync.OnceValue(func() string {
		GinkgoHelper()
		path := filepath.Join(consumer, "built-"+strings.ReplaceAll(strings.Join(args, "-"), "/", "-"))
		succeed(nil, "go", append(append(args[:len(args)-1:len(args)-1], "-o", path), args[len(args)-1])...)
		return path
	})
}

var (
	testBinary = built("test", "-c", "-cover", "example.com/consumer")
	program    = built("build", "-cover", "example.com/consumer/testdata/program")
	ginkgo     = sync.OnceValues(func() (out string, err error) {
		return output(nil, "go", "build", "-o", filepath.Join(consumer, "ginkgo"), "github.com/onsi/ginkgo/v2/ginkgo")
	})
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

// printed returns the percentages that tests have printed.
func printed(out string) []string { return percentages(printedRe, out) }

// total returns the percentage in a profile. Its lines are blocks, with their numbers of
// statements and how often they were run; there is one for each binary that a block is in.
func total(profile string) []string {
	GinkgoHelper()
	text, err := os.ReadFile(profile)
	Expect(err).NotTo(HaveOccurred())
	statements, run := map[string]int{}, map[string]bool{}
	for _, line := range blockRe.FindAllStringSubmatch(string(text), -1) {
		statements[line[1]], err = strconv.Atoi(line[2])
		Expect(err).NotTo(HaveOccurred())
		run[line[1]] = run[line[1]] || line[3] != "0"
	}
	all, covered := 0, 0
	for block, n := range statements {
		all += n
		if run[block] {
			covered += n
		}
	}
	return []string{fmt.Sprintf("%.1f", 100*float64(covered)/float64(all))}
}

// data returns the percentage of the consumer itself in raw coverage data.
func data(dir string) []string {
	GinkgoHelper()
	return percentages(dataRe, succeed(nil, "go", "tool", "covdata", "percent", "-pkg=example.com/consumer", "-i="+dir))
}

// buildsBinaries skips a spec where that takes too long.
func buildsBinaries() {
	if testing.Short() {
		Skip("builds and runs other test binaries")
	}
}

// goTest has the go command test a test function of the consumer with coverage, which
// builds it, and returns what that has printed, and the profile.
func goTest(test string, args ...string) (out, profile string, err error) {
	profile = filepath.Join(GinkgoT().TempDir(), "profile")
	args = append([]string{"test", "-count=1", "-cover", "-coverprofile=" + profile, "-run=^" + test + "$"}, args...)
	out, err = output(nil, "go", args...)
	return out, profile, err
}

// runTest does what the go command does once it has built the test binary. Later flags win
// over those which that sets.
func runTest(env []string, test string, flags ...string) (out, profile string, err error) {
	profile = filepath.Join(GinkgoT().TempDir(), "profile")
	flags = append([]string{"-test.coverprofile=" + profile, "-test.gocoverdir=" + GinkgoT().TempDir(),
		"-test.paniconexit0", "-test.timeout=10m0s", "-test.run=^" + test + "$"}, flags...)
	out, err = output(env, testBinary(), flags...)
	return out, profile, err
}

// expectHalf expects that a test succeeds, and that it and its children together cover
// one half.
func expectHalf(env []string, test string, flags ...string) {
	GinkgoHelper()
	out, profile, err := runTest(env, test, flags...)
	Expect(err).NotTo(HaveOccurred(), "%s", out)
	Expect(printed(out)).To(Equal([]string{half}), "%s", out)
	Expect(total(profile)).To(Equal([]string{half}))
}

// files returns the names of the files in a folder.
func files(dir string) (names []string) {
	GinkgoHelper()
	entries, err := os.ReadDir(dir)
	Expect(err).NotTo(HaveOccurred())
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
