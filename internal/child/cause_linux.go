package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/birth"
	"golang.org/x/sys/unix"
)

// explainStart makes an error that tells the cause of a child that could not be started. What package os/exec gives is the errno of
// one of a dozen system calls, so this asks the kernel which of them fails again.
func explainStart(cmd *exec.Cmd, err error) error {
	if cmd.Cancel != nil {
		return errors.New("option Cmd has set Cancel, but a child ends with the context of its call")
	}
	attr := cmd.SysProcAttr
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case enter(attr.Chroot, "/"):
			return &fs.PathError{Op: "chroot", Path: attr.Chroot, Err: errno}
		case enter(attr.Chroot, cmd.Dir):
			return &fs.PathError{Op: "chdir", Path: cmd.Dir, Err: errno}
		}
	}
	if cause := cause(cmd.Path, attr, errno); cause != "" {
		return fmt.Errorf("%w%s", err, cause)
	}
	return err
}

// cause tells in parentheses what else is known of the cause, if anything is.
func cause(program string, attr *syscall.SysProcAttr, errno syscall.Errno) string {
	fresh := attr.Cloneflags | attr.Unshareflags
	var cgroup unix.Statfs_t
	switch {
	case errno == syscall.ENOENT && strings.HasPrefix(program, "/proc/self/"):
		if _, err := os.Stat(filepath.Join("/", attr.Chroot, "proc/self")); err == nil {
			return " (the program is there, so it must be its loader that is not, see ld.so(8))"
		}
		if attr.Chroot != "" {
			return fmt.Sprintf(" (in %s /proc is not mounted, see Chroot in Cmd)", attr.Chroot)
		}
		return birth.NoProc
	case errno == syscall.EACCES && program == "/proc/self/exe" && access(program) == errno:
		return " (its file lacks the permission to be executed, or is on a mount with noexec: Sealed needs neither)"
	case errno == syscall.EPERM && attr.Setpgid && attr.Pgid > 0 && unix.Kill(-attr.Pgid, 0) == unix.ESRCH:
		return fmt.Sprintf(" (there is no process group %d, see Pgid in Cmd)", attr.Pgid)
	case errno == syscall.EPERM && fresh&unix.CLONE_NEWUSER != 0 && inChroot():
		return " (this program runs in a chroot, where it may make no user namespaces, see clone(2))"
	case errno == syscall.EBADF && attr.UseCgroupFD && unix.Fstatfs(attr.CgroupFD, &cgroup) == nil && cgroup.Type != unix.CGROUP2_SUPER_MAGIC:
		return " (CgroupFD in Cmd is no directory of cgroup version 2)"
	case fresh != 0:
		return birth.HintNew(errno)
	}
	return ""
}

// enter returns why this process cannot make a directory its working directory, in a root directory if that is given.
func enter(root, dir string) error {
	if dir == "" || root == "" && dir == "/" {
		return nil
	}
	return access(filepath.Join(root, dir) + "/.")
}

// access returns why this process cannot execute a file, or enter a directory.
func access(path string) error {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
}

// inChroot tells whether the root directory of this process is certainly not that of its mount namespace.
func inChroot() bool {
	var root unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, "/", 0, unix.STATX_INO, &root)
	return err == nil && root.Attributes_mask&^root.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
