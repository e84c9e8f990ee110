package birth

import (
	"errors"
	"example.com/gons/reexec/internal/sys"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Hint says in parentheses what to do about an error, where the error alone
// misleads; usually it is empty. It is about joining a namespace.
func Hint(err error, kind, path string) string {
	switch {
	case errors.Is(err, syscall.EPERM) && kind == "user":
		return " (a user namespace is open to root, and to the user who made it)"
	case errors.Is(err, syscall.EPERM):
		return " (this takes CAP_SYS_ADMIN in the user namespace that owns it: be root, or join that user namespace first)"
	case errors.Is(err, syscall.EACCES) && inProcess(path) && isOwn(path):
		return " (the process is this user's, but has more privileges than this one, or is not dumpable: be root)"
	case errors.Is(err, syscall.EACCES) && strings.HasPrefix(path, "/proc/"):
		return " (this takes the right to trace the process, see ptrace(2): be its user, or root)"
	case errors.Is(err, syscall.EINVAL) && kind == "user":
		return " (is it one's own already? then leave it out)"
	case errors.Is(err, syscall.EINVAL) && kind == "pid":
		return " (is it a PID namespace, below one's own? and is the child not the first process of a new one?)"
	case errors.Is(err, syscall.EINVAL):
		return " (is it a namespace, and of this type?)"
	case errors.Is(err, sys.ENOMEM) && kind == "pid":
		return " (its first process has ended, so that it takes no more, or memory is short)"
	case errors.Is(err, fs.ErrNotExist) && inProcess(path):
		if _, err := os.Stat("/proc/self"); err != nil {
			return NoProc
		}
		return vanished
	}
	return ""
}

// vanished is the hint where a process is not found.
const vanished = " (the process has ended, or /proc belongs to another PID namespace and numbers it otherwise)"

// NoProc is the hint where this program is not found by way of /proc.
const NoProc = " (/proc is not mounted, or belongs to another PID namespace)"

// inProcess tells whether a path is that of a process' namespace.
func inProcess(path string) bool {
	return strings.HasPrefix(path, "/proc/") && strings.Contains(path, "/ns/")
}

// isOwn tells whether the process whose namespace this is belongs to the ordinary user of this program (proc_pid_status(5)).
func isOwn(path string) bool {
	dir, _, _ := strings.Cut(path, "/ns/")
	status, _ := os.ReadFile(dir + "/status")
	_, ids, _ := strings.Cut(string(status), "\nUid:\t")
	uid, _, _ := strings.Cut(ids, "\t")
	return uid != "0" && uid == strconv.Itoa(os.Getuid())
}

// HintNew is Hint for a child that could not be started because of the new namespaces that it
// should get (clone(2)).
func HintNew(err error) string {
	switch {
	case errors.Is(err, syscall.EPERM):
		return " (new namespaces take CAP_SYS_ADMIN, or a new user namespace with them, and the system may forbid those to ordinary users)"
	case errors.Is(err, syscall.EINVAL):
		return " (does the kernel have these types of namespaces? and are the IDs to be mapped those of the caller?)"
	case errors.Is(err, sys.ENOSPC):
		return " (the limit on namespaces is reached, see /proc/sys/user, or they are nested too deeply)"
	}
	return ""
}
