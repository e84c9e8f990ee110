package programs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/specs"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// A linkage is a way to build a program.
type linkage struct {
	name        string
	cgo, flag   string
	constructor bool // it runs
}

var linkages = []linkage{
	{"with cgo", "CGO_ENABLED=1", "-ldflags=", true},
	{"without cgo", "CGO_ENABLED=0", "-ldflags=", false},
	{"by the internal linker", "CGO_ENABLED=1", "-ldflags=-linkmode=internal", false},
}

// publicProgram builds a program that others may execute, and returns its path.
func (l linkage) publicProgram() (path string) {
	GinkgoHelper()
	c := newConsumer(map[string]string{"try.go": linkedProgram, "main.go": linkedMain})
	c.run([]string{l.cgo}, "go", "build", l.flag, "-o", "program")
	for dir := c.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		Expect(os.Chmod(dir, 0o755)).To(Succeed())
	}
	return filepath.Join(c.dir, "program")
}

// asNobody runs a command, as a user without privileges if it can be another one than this process.
func asNobody(cmd *exec.Cmd) (stdout, stderr string, status int) {
	GinkgoHelper()
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = specs.Nobody
	}
	var out, err strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &err
	if failed := cmd.Run(); failed != nil {
		Expect(failed).To(BeAssignableToTypeOf(&exec.ExitError{}))
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// outcomeAsNobody returns what has come of the program that is tried out.
func outcomeAsNobody(cmd *exec.Cmd) (o linkedOutcome) {
	GinkgoHelper()
	stdout, stderr, status := asNobody(cmd)
	Expect(stderr).To(BeEmpty())
	Expect(status).To(BeZero())
	Expect(json.Unmarshal([]byte(stdout), &o)).To(Succeed(), stdout)
	return o
}

// command returns a command with these variables, and no others but PATH.
func command(path string, env ...string) *exec.Cmd {
	cmd := exec.Command(path)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{}
	cmd.Env = append([]string{"PATH=/bin:/usr/bin"}, env...)
	return cmd
}

// privileges are ways to give a program more of them than its user has.
var privileges = map[string]func(path string) error{
	"set-user-ID":  func(path string) error { return os.Chmod(path, 0o755|os.ModeSetuid) },
	"set-group-ID": func(path string) error { return os.Chmod(path, 0o755|os.ModeSetgid) },
	"file capabilities": func(path string) error {
		// struct vfs_cap_data, see capabilities(7): version 2, effective, CAP_NET_RAW
		return unix.Setxattr(path, "security.capability", []byte{1, 0, 0, 2, 0, 1 << 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0)
	},
}

var _ = Describe("a program that its user cannot read", func() {

	for _, linkage := range linkages {

		It("starts children, unless it has more privileges than its user: "+linkage.name, func() {
			if os.Geteuid() == 0 {
				specs.NeedsNobody()
			}
			path := linkage.publicProgram()
			Expect(os.Chmod(path, 0o111)).To(Succeed()) // and so it is not dumpable
			for _, env := range []string{"A=1", "GOTRACEBACK=none"} {
				Expect(outcomeAsNobody(command(path, env)).HereErrs).To(Equal(thrice("<nil>")))
			}

			var fs unix.Statfs_t
			Expect(unix.Statfs(path, &fs)).To(Succeed())
			if !specs.IsRoot() || fs.Flags&unix.ST_NOSUID != 0 {
				return // it cannot have more
			}
			for privilege, give := range privileges {
				By(privilege)
				Expect(os.Chmod(path, 0o755)).To(Succeed())
				Expect(give(path)).To(Succeed())
				refuses := func(env ...string) {
					GinkgoHelper()
					o := outcomeAsNobody(command(path, env...))
					Expect(append(o.HereErrs, o.ThereErrs...)).To(HaveEach(
						ContainSubstring("cannot start child, reason: a set-user-ID program")))
				}
				refuses()
				refuses("GOTRACEBACK=all")
				if linkage.constructor { // orders are nothing to it
					refuses("gons_reexec_action=where")
					refuses("gons_malformed")
					refuses("gons_reexec_action=where", "gons_net=/nowhere", "gons_order=!net")
				}
				stdout, stderr, status := asNobody(command(path, "gons_reexec_child=1", "gons_reexec_action=where"))
				Expect(stdout).To(BeEmpty())
				Expect(stderr).To(ContainSubstring("a set-user-ID program"))
				Expect(status).To(Equal(1))
				Expect(unix.Removexattr(path, "security.capability")).To(Or(Succeed(), Equal(unix.ENODATA)))
			}
		})

	}

	It("is told what it lacks where there is no /proc", func() {
		specs.NeedsRoot()
		path := linkages[1].publicProgram()
		cmd := command("/program")
		cmd.SysProcAttr.Chroot = filepath.Dir(path)
		Expect(outcomeAsNobody(cmd).HereErrs).To(HaveEach(
			HaveSuffix("no such file or directory (/proc is not mounted, or belongs to another PID namespace)")))
	})

})
