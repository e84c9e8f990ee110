package integration

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// forbidPidfds has pidfd_open fail for the calling thread, as it does on kernels before Linux 5.3.
func forbidPidfds() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the system call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_PIDFD_OPEN, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x00050000 | uint32(unix.ENOSYS)}, // SECCOMP_RET_ERRNO
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000},                       // SECCOMP_RET_ALLOW
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}

// Proc is what a process tells where /proc belongs to another PID namespace.
type proc struct {
	Trouble    string // why the role could not be played
	Self       string // where /proc/self leads to
	All, Some  []string
	AllErr     string
	WithoutFDs []string // all, where the process cannot ask about itself
	RunErrs    []string
}

func init() {
	// Looks at the first process of another PID namespace, whose /proc it has.
	roles["stranger"] = func([]string) any {
		runtime.LockOSThread()
		attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS}
		first := exec.Command("/bin/sh", "-c", "mount -t proc proc /proc && echo ready && read end")
		first.SysProcAttr = attr
		first.Stderr = os.Stderr
		stay, _ := first.StdinPipe()
		ready, _ := first.StdoutPipe()
		if err := first.Start(); err != nil {
			return proc{Trouble: err.Error()}
		}
		defer func() {
			_ = stay.Close()
			_ = first.Wait()
		}()
		if _, err := fmt.Fscanln(ready, new(string)); err != nil {
			return proc{Trouble: "cannot mount /proc"}
		}
		var p proc
		p.Self, _ = os.Readlink("/proc/self")
		namespaces, err := reexec.NamespacesOf(1)
		p.All, p.AllErr = types(namespaces), fmt.Sprint(err)
		namespaces, _ = reexec.NamespacesOf(1, "mnt", "net", "time", "pid")
		p.Some = types(namespaces)
		for _, way := range waysIn {
			p.RunErrs = append(p.RunErrs, fmt.Sprint(way.run(reexec.Namespaces(namespaces))), fmt.Sprint(way.run(reexec.Target(1))))
		}
		if err := forbidPidfds(); err != nil {
			return proc{Trouble: err.Error()}
		}
		namespaces, _ = reexec.NamespacesOf(1)
		p.WithoutFDs = types(namespaces)
		return p
	}
}

var _ = Describe("where /proc belongs to another PID namespace", func() {

	It("finds namespaces, and leaves out none that it cannot compare", func() {
		role := withRole("stranger")
		role.SysProcAttr.Unshareflags = unix.CLONE_NEWNS // makes all mounts private
		if !specs.IsRoot() {
			asRootOfNew(role)
			role.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
		}
		p := tellOf[proc](role)
		if p.Trouble != "" {
			Skip(p.Trouble)
		}
		Expect(p.Self).To(BeEmpty(), "this process is not there")
		Expect(p.AllErr).To(Equal("<nil>"))
		var all []string
		for _, ns := range specs.NamespaceFlags {
			all = append(all, "!"+ns.Kind)
		}
		Expect(p.WithoutFDs).To(Equal(all))
		// These are compared, where the kernel has a way.
		if slices.Equal(p.All, all) {
			Expect(p.Some).To(Equal([]string{"!mnt", "!net", "!time", "!pid"}))
		} else {
			Expect(p.All).To(Equal([]string{"!net", "!pid", "!uts"}))
			Expect(p.Some).To(Equal([]string{"!net", "!pid"}))
		}
		Expect(p.RunErrs).NotTo(ContainElement("<nil>"))
		Expect(p.RunErrs).To(HaveEach(MatchRegexp(`cannot start child, reason: .*\(.*/proc .*belongs to another PID namespace.*\)$`)))
	})

})
