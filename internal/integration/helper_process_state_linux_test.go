package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// children returns the status lines of the children of this process, zombies
// included.
func children() []string {
	if unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == unix.ECHILD {
		return nil // as usual, and found out much faster
	}
	return childrenOf(os.Getpid())
}

// kill kills a process, and never the group of this one, as would be that of PID 0.
func kill(pid int) error {
	if pid <= 0 {
		return unix.ESRCH
	}
	return unix.Kill(pid, unix.SIGKILL)
}

// killChildren kills those children that are left.
func killChildren() {
	for _, child := range children() {
		_ = kill(firstWord(child))
	}
}

// openFiles returns how many files are open.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	Expect(err).NotTo(HaveOccurred())
	return len(entries)
}

// firstWord returns the number that a line starts with.
func firstWord(line string) int {
	word, _, _ := strings.Cut(line, " ")
	return atoi(word)
}

// childrenOf returns the status lines of the children of a process.
func childrenOf(parent int) (found []string) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	Expect(err).NotTo(HaveOccurred())
	for _, stat := range stats {
		line, err := os.ReadFile(stat)
		if err != nil {
			continue // has just gone
		}
		// The name, in parentheses, may contain anything; see proc(5).
		_, rest, _ := strings.Cut(string(line), ") ")
		var state string
		var ppid int
		if _, err := fmt.Sscan(rest, &state, &ppid); err == nil && ppid == parent {
			found = append(found, string(line))
		}
	}
	return found
}

// strayThreads returns the namespaces of threads that differ from those which the
// process was started in.
func strayThreads() (found []string) {
	links, err := filepath.Glob("/proc/self/task/*/ns/*")
	Expect(err).NotTo(HaveOccurred())
	for _, link := range links {
		home, err := os.Readlink(filepath.Join("/proc/self/ns", filepath.Base(link)))
		if err != nil {
			continue
		}
		if here, err := os.Readlink(link); err == nil && here != home {
			found = append(found, link+" "+here)
		}
	}
	return found
}

// inheritable returns the descriptors that any child of this process inherits.
func inheritable() (found []string) {
	entries, err := os.ReadDir("/proc/self/fd")
	Expect(err).NotTo(HaveOccurred())
	for _, entry := range entries {
		flags, err := unix.FcntlInt(uintptr(atoi(entry.Name())), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		target, _ := os.Readlink("/proc/self/fd/" + entry.Name())
		found = append(found, entry.Name()+" "+target)
	}
	return found
}

// onOwnThread runs f on a thread of its own, which is thrown away.
func onOwnThread(f func()) {
	GinkgoHelper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer GinkgoRecover()
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the main thread cannot be thrown away
			defer runtime.UnlockOSThread()
			onOwnThread(f)
			return
		}
		f()
	}()
	<-done
}

// inNewNamespaces runs f on a thread in new namespaces, which is thrown away.
func inNewNamespaces(flags int, f func()) {
	GinkgoHelper()
	onOwnThread(func() {
		Expect(unix.Unshare(flags)).To(Succeed())
		f()
	})
	Eventually(strayThreads).Should(BeEmpty())
}

// dropPrivileges makes an ordinary user of the calling thread, and of no other, as package
// syscall would.
func dropPrivileges() {
	GinkgoHelper()
	if os.Geteuid() != 0 {
		return
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, 65534, 65534, 65534)
	Expect(errno).To(BeZero())
	_, _, errno = unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534)
	Expect(errno).To(BeZero())
}

// alive returns an error if there is no such process, or just a zombie that
// awaits somebody else.
func alive(pid int) error {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
		return syscall.ESRCH
	}
	return syscall.Kill(pid, 0)
}
