package birth

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/sys"
)

// newKind stands for all types of namespaces that are new.
const newKind = "new"

// hints say what to do about an error where the error alone misleads. The first one of the error, and of this type or of all, counts.
var hints = []struct {
	err        error
	kind, text string
}{
	{syscall.EPERM, "user", "a user namespace is open to root, and to the user who made it"},
	{syscall.EPERM, newKind, "new namespaces take CAP_SYS_ADMIN, or a new user namespace with them, and the system may forbid those to ordinary users"},
	{syscall.EPERM, "", "this takes CAP_SYS_ADMIN in the user namespace that owns it: be root, or join that user namespace first"},
	{syscall.EINVAL, "user", "is it one's own already? then leave it out"},
	{syscall.EINVAL, "pid", "is it a PID namespace, below one's own? and is the child not the first process of a new one?"},
	{syscall.EINVAL, newKind, "does the kernel have these types of namespaces? and are the IDs to be mapped those of the caller?"},
	{syscall.EINVAL, "", "is it a namespace, and of this type?"},
	{sys.ENOMEM, "pid", "its first process has ended, so that it takes no more, or memory is short"},
	{sys.ENOSPC, newKind, "the limit on namespaces is reached, see /proc/sys/user, or they are nested too deeply"},
}

// NoProc is the hint where this program is not found by way of /proc.
const NoProc = " (/proc is not mounted, or belongs to another PID namespace)"

// Hint says in parentheses what to do about an error of joining a namespace, where the error alone misleads; usually it is empty.
func Hint(err error, kind, path string) string {
	ofProcess := strings.HasPrefix(path, "/proc/") && strings.Contains(path, "/ns/")
	switch {
	case errors.Is(err, syscall.EACCES) && strings.HasPrefix(path, "/proc/"):
		return " (this takes the right to trace the process, see ptrace(2): be root; its user may if it is dumpable and has no more privileges)"
	case errors.Is(err, fs.ErrNotExist) && ofProcess:
		if _, err := os.Stat("/proc/self"); err != nil {
			return NoProc
		}
		return " (the process has ended, or /proc belongs to another PID namespace and numbers it otherwise)"
	}
	for _, hint := range hints {
		if errors.Is(err, hint.err) && (hint.kind == kind || hint.kind == "") {
			return " (" + hint.text + ")"
		}
	}
	return ""
}

// HintNew is Hint for a child that could not be started because of the new namespaces that it should get (clone(2)).
func HintNew(err error) string { return Hint(err, newKind, "") }
