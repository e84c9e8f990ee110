package specs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"github.com/onsi/ginkgo/v2"
	"golang.org/x/sys/unix"
)

// IsRoot tells whether this process may make and join all namespaces.
var IsRoot = sync.OnceValue(func() bool {
	return os.Geteuid() == 0 && Refusal("mnt", "cgroup", "ipc", "net", "pid", "uts") == nil
})

// NeedsRoot skips a spec where it cannot pass.
func NeedsRoot() {
	ginkgo.GinkgoHelper()
	if os.Geteuid() != 0 {
		ginkgo.Skip("needs root")
	}
	NeedsNamespaces("mnt", "cgroup", "ipc", "net", "pid", "uts")
}

// Nobody is a user without privileges.
var Nobody = &syscall.Credential{Uid: 65534, Gid: 65534}

// NeedsNobody skips a spec where this process cannot start others as Nobody.
func NeedsNobody() {
	ginkgo.GinkgoHelper()
	program := exec.Command("/bin/true")
	program.SysProcAttr = &syscall.SysProcAttr{Credential: Nobody}
	if err := program.Run(); err != nil {
		ginkgo.Skip("needs to start a process as another user: " + err.Error())
	}
}

// NeedsNamespaces skips a spec where this process cannot make, or join, namespaces of
// these types.
func NeedsNamespaces(kinds ...string) {
	ginkgo.GinkgoHelper()
	if err := Refusal(kinds...); err != nil {
		ginkgo.Skip(fmt.Sprintf("needs namespaces (%s): %v", strings.Join(kinds, " "), err))
	}
}

// NeedsCgo skips a spec in a program that cannot join namespaces, whatever the kernel allows.
func NeedsCgo() {
	ginkgo.GinkgoHelper()
	if !hasCgo {
		ginkgo.Skip(errNoCgo.Error())
	}
}

var errNoCgo = errors.New("joining namespaces needs cgo")

// NeedsSetns skips a spec where a filter denies joining anything.
func NeedsSetns() {
	ginkgo.GinkgoHelper()
	if err := unix.Setns(-1, 0); err != unix.EBADF {
		ginkgo.Skip("needs setns: " + err.Error())
	}
}

// refusals are what the kernel has said, by types.
var refusals sync.Map

// Refusal returns why this process cannot make, or join, namespaces of these types, nil if
// it can. The kernel is asked once, by another process, since package syscall leaks a pipe
// if a child with mapped IDs cannot be started.
func Refusal(kinds ...string) error {
	ask := sync.OnceValue(func() error {
		if !hasCgo {
			return errNoCgo
		}
		if err := unix.Setns(-1, 0); err != unix.EBADF { // by a filter
			return os.NewSyscallError("setns", err)
		}
		hall, err := os.MkdirTemp("", "hall-")
		if err != nil {
			return err
		}
		defer os.Remove(hall)
		answer, err := Child("friend of a neighbour", append([]string{hall}, kinds...)...).Output()
		if err != nil {
			return err
		}
		if text := strings.TrimSpace(string(answer)); text != "" {
			return errors.New(text)
		}
		return nil
	})
	asked, _ := refusals.LoadOrStore(strings.Join(kinds, " "), ask)
	return asked.(func() error)()
}
