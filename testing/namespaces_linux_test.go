package testing

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var cloneFlags = map[string]uintptr{
	"mnt":  syscall.CLONE_NEWNS,
	"pid":  syscall.CLONE_NEWPID,
	"user": syscall.CLONE_NEWUSER,
}

// elsewhere makes namespaces of these types, which live as long as the spec, and
// returns references to them: TYPE=PATH. An ordinary user always gets a user
// namespace first.
//
// With "mapped" at the end, which takes root, they have IDs of their own: root in there is user 100000.
//
// The shell script runs there. After a call of the function finish comes the rest
// of the script, and finish returns what that prints.
func elsewhere(types []string, script, rest string, args ...string) (references []string, finish func() string) {
	GinkgoHelper()
	needsCgo()
	if err := unix.Setns(-1, 0); err != unix.EBADF { // by a filter
		Skip(fmt.Sprintf("needs to join namespaces: %v", err))
	}
	if os.Geteuid() != 0 && !slices.Contains(types, "user") {
		types = append([]string{"user"}, types...)
	}
	script = "set -e\n" + script + "\necho ready\nread -r line || exit 0\n" + rest
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	if last := len(types) - 1; last >= 0 && types[last] == "mapped" {
		types = types[:last]
		cmd.SysProcAttr.UidMappings[0] = syscall.SysProcIDMap{HostID: 100000, Size: 1 << 16}
		cmd.SysProcAttr.GidMappings[0] = cmd.SysProcAttr.UidMappings[0]
		cmd.SysProcAttr.GidMappingsEnableSetgroups = true
		cmd.SysProcAttr.Credential = &syscall.Credential{}
	}
	for _, kind := range types {
		cmd.SysProcAttr.Cloneflags |= cloneFlags[kind]
	}
	if cmd.SysProcAttr.Cloneflags&syscall.CLONE_NEWUSER == 0 {
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = nil, nil
	}
	var errout strings.Builder
	cmd.Stderr = &errout
	stdin, err := cmd.StdinPipe()
	Expect(err).NotTo(HaveOccurred())
	stdout, err := cmd.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	if err := cmd.Start(); err != nil {
		if slices.ContainsFunc([]syscall.Errno{
			syscall.EPERM, syscall.EACCES, syscall.ENOSPC, syscall.EINVAL, syscall.ENOSYS,
		}, func(errno syscall.Errno) bool { return errors.Is(err, errno) }) {
			Skip(fmt.Sprintf("needs to make namespaces of types %v: %v", types, err))
		}
		Expect(err).NotTo(HaveOccurred())
	}
	DeferCleanup(func() {
		Expect(stdin.Close()).To(Or(Succeed(), MatchError(os.ErrClosed)))
		Expect(cmd.Wait()).To(Succeed(), errout.String)
	})
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
	}
	Expect(line).To(Equal("ready\n"), errout.String)

	for _, kind := range types {
		references = append(references, fmt.Sprintf("!%s=/proc/%d/ns/%s", kind, cmd.Process.Pid, kind))
	}
	return references, func() string {
		GinkgoHelper()
		_, err := io.WriteString(stdin, "go on\n")
		Expect(err).NotTo(HaveOccurred())
		out, err := io.ReadAll(lines)
		Expect(err).NotTo(HaveOccurred())
		return string(out)
	}
}

// Scripts for elsewhere, which take a directory for coverage data.
const (
	// The same path leads to another directory.
	otherDir = `mount --make-rprivate / && mount -t tmpfs none "$1"`

	// There is no /proc, but there is a directory of the same name. The shell
	// itself stays in the old root.
	otherRoot = `mount --make-rprivate / && mount -t tmpfs none "$1" && mkdir -p "$1/$1" && mount --bind "$1" /`

	// There is nothing at all.
	emptyRoot = `mount --make-rprivate / && mount -t tmpfs none /`
)
