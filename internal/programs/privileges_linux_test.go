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

// asNobody runs a command with these variables and no others but PATH, as a user without privileges if it can be another one than
// this process.
func asNobody(root, path string, env ...string) (stdout, stderr string, status int) {
	GinkgoHelper()
	cmd := exec.Command(path)
	cmd.Dir, cmd.Env = "/", append([]string{"PATH=/bin:/usr/bin"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = specs.Nobody
	}
	var out, err strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &err
	Expect(cmd.Run()).To(Or(Succeed(), BeAssignableToTypeOf(&exec.ExitError{})))
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// errorsAsNobody returns what has come of a visitor.
func errorsAsNobody(root, path string, env ...string) []string {
	GinkgoHelper()
	stdout, stderr, status := asNobody(root, path, env...)
	Expect(stderr).To(BeEmpty())
	Expect(status).To(BeZero())
	var o outcome
	Expect(json.Unmarshal([]byte(stdout), &o)).To(Succeed(), stdout)
	return append(o.Here.Errs, o.There.Errs...)
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
	DescribeTable("starts children, unless it has more privileges than its user", func(constructor bool, env string, args ...string) {
		if os.Geteuid() == 0 {
			specs.NeedsNobody()
		}
		original := visitor(env, args...)
		path := original + "-privileged"
		Expect(os.WriteFile(path, specs.OK(os.ReadFile(original)), 0o111)).To(Succeed()) // and so it is not dumpable
		for _, env := range []string{"A=1", "GOTRACEBACK=none"} {
			Expect(errorsAsNobody("", path, env)).To(HaveEach("<nil>"))
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
			all := []string{"A=1", "GOTRACEBACK=all"}
			if constructor { // orders are nothing to it
				all = append(all, "gons_reexec_action=network", "gons_malformed", "gons_reexec_action=network gons_net=/nowhere gons_order=!net")
			}
			for _, env := range all {
				Expect(errorsAsNobody("", path, strings.Fields(env)...)).To(HaveEach(ContainSubstring("cannot start child, reason: a set-user-ID program")))
			}
			stdout, stderr, status := asNobody("", path, "gons_reexec_child=1", "gons_reexec_action=network")
			Expect(stdout).To(BeEmpty())
			Expect(stderr).To(ContainSubstring("a set-user-ID program"))
			Expect(status).To(Equal(1))
			Expect(unix.Removexattr(path, "security.capability")).To(Or(Succeed(), Equal(unix.ENODATA)))
		}
	},
		Entry("with cgo", true, cgo),
		Entry("without cgo", false, "CGO_ENABLED=0"),
		Entry("by the internal linker", false, cgo, internal),
	)

	It("is told what it lacks where there is no /proc", func() {
		specs.NeedsRoot()
		path := visitor("CGO_ENABLED=0")
		Expect(errorsAsNobody(filepath.Dir(path), "/"+filepath.Base(path))).To(HaveEach(
			HaveSuffix("no such file or directory (/proc is not mounted, or belongs to another PID namespace)")))
	})
})
