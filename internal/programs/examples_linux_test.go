package programs

import (
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

var _ = Describe("examples", func() {

	// build returns the path of a built example.
	build := func(name string) string {
		GinkgoHelper()
		c := newConsumer(nil) // skips where nothing can be built
		program := filepath.Join(c.dir, name)
		out, err := exec.Command("go", "build", "-o", program, "./examples/"+name).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		return program
	}

	run := func(program string, args ...string) string {
		GinkgoHelper()
		out, err := exec.Command(program, args...).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", out)
		return string(out)
	}

	DescribeTable("say how they are used", func(name string) {
		out, err := exec.Command(build(name), "1000 and 1").CombinedOutput()
		Expect(err).To(MatchError("exit status 1"))
		Expect(string(out)).To(HavePrefix("usage: " + name + " "))
	},
		Entry(nil, "interfaces"),
		Entry(nil, "watch"),
		Entry(nil, "listen"),
		Entry(nil, "events"),
	)

	It("answers", func() {
		Expect(run(build("answer"))).To(Equal("The answer is 42\n"))
	})

	It("shows the interfaces here and there", func() {
		program := build("interfaces")
		here, there, ok := strings.Cut(run(program), "there, ")
		Expect(ok).To(BeTrue())
		Expect(here).To(MatchRegexp(`(?m)^here:(\n  .*)*\n  lo +up +\[127\.0\.0\.1/8`))
		Expect(there).To(MatchRegexp(`^where process \d+ is:\n  lo +down +\[\]\n$`))

		n := specs.NewNeighbour("user", "net")
		_, there, _ = strings.Cut(run(program, strconv.Itoa(n.PID)), "there, ")
		Expect(there).To(HavePrefix("where process %d is:\n  lo       down", n.PID))
	})

	It("is root without privileges", func() {
		specs.NeedsNamespaces("user", "mnt", "cgroup", "ipc", "net", "pid", "uts")
		Expect(run(build("rootless"))).To(MatchRegexp(
			`^inside:  user 0 sees \[table\]\noutside: user \d+ sees \[\]\n$`))
	})

	It("watches a service where a process is, for some rounds or until it is interrupted", func() {
		program := build("watch")
		line := `127\.0\.0\.1:80 answers after [\d.]+.?s\n`
		Expect(run(program, "-rounds", "2", "-pause", "1ms")).To(MatchRegexp(`^(` + line + `){2}$`))

		n := specs.NewNeighbour("user", "net") // whose loopback interface is down
		Expect(run(program, "-rounds", "1", strconv.Itoa(n.PID))).To(MatchRegexp(`^dial tcp 127\.0\.0\.1:80: .*unreachable\n$`))

		session, err := gexec.Start(exec.Command(program), nil, GinkgoWriter)
		Expect(err).NotTo(HaveOccurred())
		Eventually(session.Out.Contents).Should(ContainSubstring("answers"))
		Expect(syscall.Kill(session.Command.Process.Pid, 0)).To(Succeed())
		session.Signal(syscall.SIGINT)
		Eventually(session).Should(gexec.Exit(0))

		out, err := exec.Command(program, strconv.Itoa(n.PID), "-rounds", "1").CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(out)).To(ContainSubstring("flags before"))
	})

	It("serves HTTP from here in there", func() {
		program := build("listen")
		Expect(run(program)).To(MatchRegexp(`^process \d+ finds process (\d+) at http://127\.0\.0\.1:8080\n` +
			`a visitor got "hello from process \d+", error: <nil>\n$`))

		n := specs.NewNeighbour("user", "net") // whose loopback interface is down; but all of its addresses may be listened at
		session, err := gexec.Start(exec.Command(program, "-address", ":8080", strconv.Itoa(n.PID)), nil, GinkgoWriter)
		Expect(err).NotTo(HaveOccurred())
		Eventually(session.Out.Contents).Should(ContainSubstring("finds process"))
		session.Signal(syscall.SIGINT)
		Eventually(session).Should(gexec.Exit(0))
	})

	It("follows events, until there have been enough or it is interrupted", func() {
		program := build("events")
		Expect(run(program)).To(Equal("following  \ninterface lo \naddress lo 127.0.0.1\n"))

		n := specs.NewNeighbour("user", "net")
		session, err := gexec.Start(exec.Command(program, strconv.Itoa(n.PID)), nil, GinkgoWriter)
		Expect(err).NotTo(HaveOccurred())
		Eventually(session.Out.Contents).Should(ContainSubstring("following"))
		session.Signal(syscall.SIGINT)
		Eventually(session).Should(gexec.Exit(0))
	})

})
