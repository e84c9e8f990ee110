package programs

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/specs"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

var _ = Describe("an example", Ordered, func() {
	var dir string

	BeforeAll(func() {
		dir = newConsumer(nil).Dir // skips where nothing can be built
		out, err := exec.Command("go", "build", "-ldflags=-w", "-o", dir, "./examples/...").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", out)
	})

	command := func(name string, args ...string) *exec.Cmd { return exec.Command(filepath.Join(dir, name), args...) }

	run := func(name string, args ...string) string {
		GinkgoHelper()
		out, err := command(name, args...).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		return string(out)
	}

	// runUntil runs an example that is interrupted once it has printed something.
	runUntil := func(text, name string, args ...string) {
		GinkgoHelper()
		session := specs.OK(gexec.Start(command(name, args...), nil, GinkgoWriter))
		Eventually(session.Out.Contents).Should(ContainSubstring(text))
		Expect(syscall.Kill(session.Command.Process.Pid, 0)).To(Succeed())
		session.Signal(syscall.SIGINT)
		Eventually(session).Should(gexec.Exit(0))
	}

	// visited is the PID of a process whose loopback interface is down.
	visited := func() string { return strconv.Itoa(specs.NewNeighbour("user", "net").PID) }

	DescribeTable("says how it is used", func(name string) {
		out, err := command(name, "1000 and 1").CombinedOutput()
		Expect(err).To(MatchError("exit status 1"))
		Expect(string(out)).To(HavePrefix("usage: " + name + " "))
	},
		Entry(nil, "interfaces"), Entry(nil, "watch"), Entry(nil, "listen"), Entry(nil, "events"),
	)

	It("answers", func() { Expect(run("answer")).To(Equal("The answer is 42\n")) })

	It("says where there are no children", specs.Long, func() {
		if _, err := exec.LookPath("node"); err != nil {
			Skip(err.Error())
		}
		runner := filepath.Join(strings.TrimSpace(string(specs.OK(exec.Command("go", "env", "GOROOT").Output()))), "lib/wasm/go_js_wasm_exec")
		cmd := exec.Command("go", "run", "-exec", runner, "./examples/answer")
		cmd.Env = append(cmd.Environ(), "GOOS=js", "GOARCH=wasm")
		out, err := cmd.CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(out)).To(ContainSubstring("no children on js: " + errors.ErrUnsupported.Error()))
	})

	It("shows the interfaces here and there", func() {
		here, there, ok := strings.Cut(run("interfaces"), "there, ")
		Expect(ok).To(BeTrue())
		Expect(here).To(MatchRegexp(`(?m)^here:(\n  .*)*\n  lo +up +\[127\.0\.0\.1/8`))
		Expect(there).To(MatchRegexp(`^where process \d+ is:\n  lo +down +\[\]\n$`))

		pid := visited()
		_, there, _ = strings.Cut(run("interfaces", pid), "there, ")
		Expect(there).To(HavePrefix("where process " + pid + " is:\n  lo       down"))
	})

	It("is root without privileges", func() {
		specs.NeedsNamespaces("user", "mnt", "cgroup", "ipc", "net", "pid", "uts")
		Expect(run("rootless")).To(MatchRegexp(`^inside:  user 0 sees \[table\]\noutside: user \d+ sees \[\]\n$`))
	})

	It("watches a service where a process is, for some rounds or until it is interrupted", func() {
		Expect(run("watch", "-rounds", "2", "-pause", "1ms")).To(MatchRegexp(`^(127\.0\.0\.1:80 answers after [\d.]+.?s\n){2}$`))
		pid := visited()
		Expect(run("watch", "-rounds", "1", pid)).To(MatchRegexp(`^dial tcp 127\.0\.0\.1:80: .*unreachable\n$`))
		runUntil("answers", "watch")
		out, err := command("watch", pid, "-rounds", "1").CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(out)).To(ContainSubstring("flags before"))
	})

	It("serves HTTP from here in there", func() {
		Expect(run("listen")).To(MatchRegexp(`^process \d+ finds process (\d+) at http://127\.0\.0\.1:8080\n` +
			`a visitor got "hello from process \d+", error: <nil>\n$`))
		runUntil("finds process", "listen", "-address", ":8080", visited()) // at all of its addresses one may listen
	})

	It("follows events, until there have been enough or it is interrupted", func() {
		Expect(run("events")).To(Equal("following  \ninterface lo \naddress lo 127.0.0.1\n"))
		runUntil("following", "events", visited())
	})
})
