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
	var errno syscall.Errno
	attr := syscall.SysProcAttr{}
	if cmd.SysProcAttr != nil {
		attr = *cmd.SysProcAttr
	}
	if errors.As(err, &errno) {
		switch errno {
		case enter(attr.Chroot, "/"):
			return &fs.PathError{Op: "chroot", Path: attr.Chroot, Err: errno}
		case enter(attr.Chroot, cmd.Dir):
			return &fs.PathError{Op: "chdir", Path: cmd.Dir, Err: errno}
		}
	}
	if cause := cause(cmd, attr, err); cause != "" {
		return fmt.Errorf("%w%s", err, cause)
	}
	return err
}

// cause tells in parentheses what else is known of the cause, if anything is.
func cause(cmd *exec.Cmd, attr syscall.SysProcAttr, err error) string {
	ofProgram := strings.HasPrefix(cmd.Path, "/proc/self/")
	var cgroup unix.Statfs_t
	switch _, noProc := os.Stat(filepath.Join("/", attr.Chroot, "proc/self")); {
	case errors.Is(err, fs.ErrNotExist) && ofProgram && noProc != nil && attr.Chroot != "":
		return fmt.Sprintf(" (in %s /proc is not mounted, see Chroot in Cmd)", attr.Chroot)
	case errors.Is(err, fs.ErrNotExist) && ofProgram && noProc != nil:
		return birth.NoProc
	case errors.Is(err, fs.ErrNotExist) && ofProgram:
		return " (the program is there, so it must be its loader that is not, see ld.so(8))"
	case errors.Is(err, syscall.EACCES) && cmd.Path == "/proc/self/exe" && unix.Faccessat(unix.AT_FDCWD, "/proc/self/exe", unix.X_OK, unix.AT_EACCESS) == unix.EACCES:
		return " (its file lacks the permission to be executed, or is on a mount with noexec: Sealed needs neither)"
	case errors.Is(err, syscall.EPERM) && attr.Setpgid && attr.Pgid > 0 && unix.Kill(-attr.Pgid, 0) == unix.ESRCH:
		return fmt.Sprintf(" (there is no process group %d, see Pgid in Cmd)", attr.Pgid)
	case errors.Is(err, syscall.EPERM) && newNamespaces(cmd)&unix.CLONE_NEWUSER != 0 && inChroot():
		return " (this program runs in a chroot, where it may make no user namespaces, see clone(2))"
	case errors.Is(err, syscall.EBADF) && attr.UseCgroupFD && unix.Fstatfs(attr.CgroupFD, &cgroup) == nil && cgroup.Type != unix.CGROUP2_SUPER_MAGIC:
		return " (CgroupFD in Cmd is no directory of cgroup version 2)"
	case newNamespaces(cmd) != 0:
		return birth.HintNew(err)
	}
	return ""
}

// enter returns why this process cannot make a directory its working directory, in a root directory if that is given.
func enter(root, dir string) error {
	if dir == "" || root == "" && dir == "/" {
		return nil
	}
	return unix.Faccessat(unix.AT_FDCWD, filepath.Join(root, dir)+"/.", unix.X_OK, unix.AT_EACCESS)
}

// inChroot tells whether the root directory of this process is certainly not that of its mount namespace.
func inChroot() bool {
	var root unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, "/", 0, unix.STATX_INO, &root)
	return err == nil && root.Attributes_mask&^root.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
