package integration

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/testsupport"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// loader is the loader of this program.
func loader() (path string) {
	GinkgoHelper()
	program := must(elf.Open("/proc/self/exe"))
	defer program.Close()
	section := program.Section(".interp")
	if section == nil {
		Skip("needs a program with a loader")
	}
	return strings.TrimRight(string(must(section.Data())), "\x00")
}

// withAttributes has a child get these, as root of a new user namespace if this process is not root.
func withAttributes(attr syscall.SysProcAttr) option {
	if os.Geteuid() != 0 {
		root := rootOfNewUser(0)
		attr.Cloneflags, attr.UidMappings, attr.GidMappings = root.Cloneflags, root.UidMappings, root.GidMappings
	}
	return withAttr(attr)
}

var _ = Describe("a child that cannot be started says why:", func() {
	expectReason := func(reason string, cause error, options ...option) {
		GinkgoHelper()
		expectInEveryWay(And(MatchError(HaveSuffix("cannot start child, reason: "+reason)), MatchError(cause)), options...)
	}

	inDirectory := func(path string) option { return reexec.Cmd(func(cmd *exec.Cmd) { cmd.Dir = path }) }

	It("there is no such directory", func() {
		nowhere, inGroup := inDirectory("/does/not/exist"), withAttributes(syscall.SysProcAttr{Setpgid: true})
		expectReason("chdir /does/not/exist: no such file or directory", fs.ErrNotExist, nowhere)
		expectReason("chdir /does/not/exist: no such file or directory", fs.ErrNotExist, inGroup, nowhere)
		expectReason("chdir /dev/null: not a directory", syscall.ENOTDIR, inGroup, inDirectory("/dev/null"))
	})

	It("there is no such root directory, or it has no /proc", func() {
		specs.NeedsNamespaces("user")
		dir := GinkgoT().TempDir()
		expectReason("chroot "+dir+"/none: no such file or directory", fs.ErrNotExist, withAttributes(syscall.SysProcAttr{Chroot: dir + "/none"}))
		expectReason("fork/exec /proc/self/exe: no such file or directory (in "+dir+" /proc is not mounted, see Chroot in Cmd)",
			fs.ErrNotExist, withAttributes(syscall.SysProcAttr{Chroot: dir}))
		expectReason("chdir /etc: no such file or directory", fs.ErrNotExist, withAttributes(syscall.SysProcAttr{Chroot: dir}), inDirectory("/etc"))
	})

	It("there is no such process group", func() {
		reason := "fork/exec /proc/self/exe: operation not permitted (there is no process group 4194303, see Pgid in Cmd)"
		noGroup := withAttr(syscall.SysProcAttr{Setpgid: true, Pgid: 4194303})
		expectReason(reason, syscall.EPERM, noGroup)
		specs.NeedsNamespaces("user")
		expectReason(reason, syscall.EPERM, reexec.Unshare("user"), noGroup)
	})

	It("the command has a Cancel", func() {
		expectInEveryWay(MatchError(HaveSuffix("cannot start child, reason: option Cmd has set Cancel, but a child ends with the context of its call")),
			reexec.Cmd(func(cmd *exec.Cmd) { cmd.Cancel = func() error { return nil } }))
	})

	It("a directory is no cgroup of version 2", func() {
		option := withAttr(syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(opened(GinkgoT().TempDir()).Fd())})
		if err := waysIn[0].run(option); !errors.Is(err, syscall.EBADF) {
			Skip("needs clone3: " + fmt.Sprint(err))
		}
		expectReason("fork/exec /proc/self/exe: bad file descriptor (CgroupFD in Cmd is no directory of cgroup version 2)", syscall.EBADF, option)
	})

	// suffer returns the errors of a process with a fault, in a mount namespace of its own.
	suffer := func(fault string, args ...string) []string {
		GinkgoHelper()
		role := withRole(fault, args...)
		role.Path = filepath.Join(GinkgoT().TempDir(), "program") // a file of its own
		Expect(os.WriteFile(role.Path, must(os.ReadFile("/proc/self/exe")), 0o700)).To(Succeed())
		role.SysProcAttr = inNewMountNamespace()
		told := tellOf[[]string](role)
		if len(told) == 1 {
			Skip(told[0])
		}
		return told
	}
	const why = "cannot start child, reason: fork/exec /proc/self/exe: "

	It("its loader is missing", func() {
		told := suffer("without a file system", filepath.Dir(loader()))
		Expect(told).To(HaveEach(HaveSuffix(why + "no such file or directory (the program is there, so it must be its loader that is not, see ld.so(8))")))
	})

	It("there is no /proc, of which a target says the same", func() {
		const reason = "no such file or directory (/proc is not mounted, or belongs to another PID namespace)"
		told := suffer("without a file system", "/proc")
		Expect(told[0]).To(HaveSuffix(why + reason))
		Expect(told[1]).To(HaveSuffix("cannot find net namespace of process 1: " + reason))
	})

	It("its file may not be executed any more, which Sealed needs not", func() {
		specs.NeedsRoot()
		for _, fault := range []string{"noexec", "without permission"} {
			told := suffer(fault, GinkgoT().TempDir())
			Expect(told[0]).To(HaveSuffix(why + "permission denied (its file lacks the permission to be executed, or is on a mount with noexec: Sealed needs neither)"))
			Expect(told[1]).To(Equal("<nil>"))
		}
	})

	It("a process in a chroot makes no user namespaces", func() {
		specs.NeedsRoot()
		specs.NeedsNamespaces("user")
		told := suffer("in a chroot", GinkgoT().TempDir())
		Expect(told[0]).To(HaveSuffix(why + "operation not permitted (this program runs in a chroot, where it may make no user namespaces, see clone(2))"))
		Expect(told[1]).To(Equal("<nil>"))
	})

	It("the program was started by its loader", func() {
		specs.NeedsCgo()
		role := withRole("two calls")
		role.Path, role.Args = loader(), []string{"ld.so", must(os.Executable())}
		Expect(tellOf[[]string](role)).To(HaveEach(HaveSuffix("cannot start child, reason: the loader was told to run this program, " +
			"so /proc/self/exe is the loader: start the program by itself: unsupported operation")))
	})

	It("a library has started a thread", func() {
		specs.NeedsSetns()
		if testsupport.RaceEnabled {
			Skip("needs a program without the race detector, which does not stand this")
		}
		dir := GinkgoT().TempDir()
		source := filepath.Join(dir, "thread.c")
		Expect(os.WriteFile(source, []byte(`#include <pthread.h>
#include <unistd.h>
static void *run(void *x) { for (;;) pause(); return x; }
__attribute__((constructor)) static void start(void) { pthread_t t; pthread_create(&t, 0, run, 0); }
`), 0o600)).To(Succeed())
		library := filepath.Join(dir, "thread.so")
		if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", library, source, "-lpthread").CombinedOutput(); err != nil {
			Skip("needs a C compiler: " + string(out) + err.Error())
		}
		loader()
		n := newNeighbour("user", "net")
		Expect(reexec.RunReexecAction("silent", reexec.Target(n.PID), reexec.Environment([]string{"LD_PRELOAD=" + library}))).To(
			MatchError(ContainSubstring("Invalid argument (a library, as of LD_PRELOAD, has started a thread before)")))
	})
})

func init() {
	// Each of these reports the errors of two calls, or, if it cannot play its role, one reason.
	calls := func(options ...option) any {
		return []string{fmt.Sprint(waysIn[0].run()), fmt.Sprint(waysIn[1].run(options...))}
	}
	roles["two calls"] = func([]string) any { return calls() }
	roles["without a file system"] = func(args []string) any {
		if err := unix.Mount("tmpfs", args[0], "tmpfs", 0, ""); err != nil {
			return []string{err.Error()}
		}
		if args[0] != "/proc" {
			return calls()
		}
		return calls(reexec.Target(1, "net"))
	}
	// Moves to a file system of its own first.
	roles["noexec"] = func(args []string) any {
		var err error
		if here, _ := os.Executable(); filepath.Dir(here) != args[0] {
			there := filepath.Join(args[0], "program")
			err = errors.Join(unix.Mount("tmpfs", args[0], "tmpfs", 0, ""), os.WriteFile(there, must(os.ReadFile("/proc/self/exe")), 0o700))
			err = errors.Join(err, syscall.Exec(there, os.Args, os.Environ()))
		} else {
			err = unix.Mount("", args[0], "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOEXEC, "")
		}
		if err != nil {
			return []string{err.Error()}
		}
		return calls(reexec.Sealed())
	}
	roles["without permission"] = func([]string) any {
		if err := os.Chmod("/proc/self/exe", 0o600); err != nil {
			return []string{err.Error()}
		}
		return calls(reexec.Sealed())
	}
	// The chroot holds what the program needs.
	roles["in a chroot"] = func(args []string) any {
		for _, name := range []string{"bin", "dev", "lib", "lib64", "proc", "usr"} {
			there := filepath.Join(args[0], name)
			if link, err := os.Readlink("/" + name); err == nil {
				_ = os.Symlink(link, there)
			} else if _, err := os.Stat("/" + name); err == nil {
				_ = os.Mkdir(there, 0o755)
				_ = unix.Mount("/"+name, there, "", unix.MS_BIND|unix.MS_REC, "")
			}
		}
		if err := unix.Chroot(args[0]); err != nil {
			return []string{err.Error()}
		}
		return []string{fmt.Sprint(waysIn[0].run(reexec.Unshare("user"))), fmt.Sprint(waysIn[1].run())}
	}
	// Hides from its user, and copies stdin to stdout.
	specs.Roles["hidden"] = func([]string) {
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
		_, _ = io.Copy(os.Stdout, os.Stdin)
	}
}

var _ = Describe("a namespace that cannot be joined says why:", func() {
	It("its process is of the same user, but not to be looked at", func() {
		hidden := specs.Child("hidden")
		hidden.SysProcAttr = &syscall.SysProcAttr{Credential: ordinary()}
		n := neighbourWith(hidden)
		asOrdinaryUser(func() {
			Expect(reexec.NamespacesOf(n.PID, "net")).Error().To(MatchError(HaveSuffix("permission denied (this takes the right to trace the process, see ptrace(2): be root; its user may if it is dumpable and has no more privileges)")))
		})
	})

	It("the mount namespace takes another capability", func() {
		specs.NeedsRoot()
		n := newNeighbour("mnt", "net")
		onOwnThread(func() {
			Expect(dropCapability(unix.CAP_SYS_CHROOT)).To(Succeed())
			expectTarget(n, []string{"net"}, reexec.Target(n.PID, "net"))
			expectJoinError(n.namespace("mnt"), syscall.EPERM, fmt.Sprintf("cannot join gons_mnt using reference %q: Operation not permitted "+
				"(this takes CAP_SYS_ADMIN in the user namespace that owns it, and CAP_SYS_CHROOT, too: be root, or join that user namespace first)",
				n.Path("mnt")), reexec.Target(n.PID, "mnt"))
		})
	})

	It("a namespace by file has the file's name", func() {
		specs.NeedsSetns()
		ref := must(reexec.NamespaceFile(opened("/proc/self/ns/user")))
		expectJoinError(reexec.Namespace{Type: "user", Path: "/proc/self/ns/user"}, syscall.EINVAL,
			"cannot join gons_user using reference \"/proc/self/ns/user\": Invalid argument (is it one's own already? then leave it out)", joining(ref))
	})
})

// dropCapability has no program that the calling thread starts get a capability.
func dropCapability(capability int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(capability), 0, 0, 0); err != nil {
		return err
	}
	data[0].Effective &^= 1 << capability
	data[0].Permitted &^= 1 << capability
	return unix.Capset(&header, &data[0])
}

var _ = Describe("a target that ends while it is visited", func() {
	It("is told as the reason of a child that was killed with it", func() {
		for _, run := range []func(n *neighbour, stderr option) error{
			func(n *neighbour, stderr option) error {
				return reexec.RunReexecAction("hang", reexec.Target(n.PID), stderr)
			},
			func(n *neighbour, stderr option) error {
				return errorOf(hang.Call(background, "hang", reexec.Target(n.PID, "user", "pid"), stderr))
			},
			func(n *neighbour, stderr option) error {
				worker := must(hang.Start(background, reexec.Target(n.PID), stderr))
				defer worker.Close()
				err := errorOf(worker.Call(background, "hang"))
				Expect(worker.Err()).To(MatchError(os.ErrProcessDone))
				return err
			},
		} {
			n := newNeighbour("user", "pid")
			err := run(n, onStderr(func(string) { go n.End() }))
			Expect(err).To(MatchError(os.ErrProcessDone))
			Expect(err).To(MatchError(ContainSubstring("signal: killed (its target, process %d, has ended: os: process already finished)", n.PID)))
			Expect(wasKilled(err)).To(BeTrue())
		}
	})

	It("is not blamed for a child that was killed otherwise", func() {
		n := newNeighbour("user", "net")
		needsToSee(reexec.Target(n.PID))
		err := reexec.RunReexecAction("hang", reexec.Target(n.PID), onStderr(func(string) { killOthers(n.PID) }))
		Expect(wasKilled(err)).To(BeTrue())
		Expect(err).NotTo(MatchError(os.ErrProcessDone))
	})
})
