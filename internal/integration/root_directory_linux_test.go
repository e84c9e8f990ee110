package integration

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// A view is what a process sees of files.
type view struct {
	Directory string // the working directory
	Mark      bool   // whether there is the file "/mark"
	Proc      bool   // whether there is a /proc
	Dumpable  int    // see prctl(2)
}

var lookAround = reexec.RegisterFunc("look around", func(struct{}) (v view, err error) {
	_, markErr := os.Stat("/mark")
	_, procErr := os.Stat("/proc/self")
	v.Mark, v.Proc = markErr == nil, procErr == nil
	v.Dumpable, _ = unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	v.Directory, _ = unixGetwd() // a directory that was removed has no name
	return v, nil
})

// unixGetwd asks the kernel, not the environment.
func unixGetwd() (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Getcwd(buffer)
	return strings.TrimSuffix(string(buffer[:max(n, 0)]), "\x00"), err
}

func init() {
	// Changes its root directory, and copies stdin to stdout. With "bind" this is first a mount of the root
	// directory, with "as nobody" the process then has no privileges.
	specs.Roles["chrooted"] = func(args []string) {
		check := func(err error) {
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		if strings.Contains(args[1], "bind") {
			check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
			check(unix.Mount("/", args[0], "", unix.MS_BIND, ""))
		}
		check(os.Chdir(args[0]))
		check(unix.Chroot("."))
		if strings.Contains(args[1], "as nobody") {
			check(syscall.Setresgid(65534, 65534, 65534))
			check(syscall.Setresuid(65534, 65534, 65534))
			check(unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
		}
		_, err := io.Copy(os.Stdout, os.Stdin)
		check(err)
	}
}

// publicFolder returns a folder of the spec that all users may look into.
func publicFolder() string {
	GinkgoHelper()
	folder := GinkgoT().TempDir()
	for d := folder; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		Expect(os.Chmod(d, 0o755)).To(Succeed())
	}
	return folder
}

// chrooted is a neighbour in a folder with a file "mark", and in new namespaces as these flags of clone(2) say.
func chrooted(how string, flags uintptr) (n *neighbour, folder string) {
	GinkgoHelper()
	folder = publicFolder()
	Expect(os.WriteFile(filepath.Join(folder, "mark"), nil, 0o644)).To(Succeed())
	cmd := specs.Child("chrooted", folder, how)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if flags&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr = rootOfNewUser(flags)
	}
	return neighbourWith(cmd), folder
}

var _ = Describe("a target with a root directory of its own", func() {
	inside := view{Directory: "/", Mark: true}
	outside := func() view { return view{Directory: must(unixGetwd()), Proc: true, Dumpable: 1} }

	expectLook := func(expected view, options ...option) {
		GinkgoHelper()
		for _, by := range ways[struct{}, view]() {
			Expect(by(lookAround, struct{}{}, options...)).To(Equal(expected))
		}
	}

	It("shows its files, also in the caller's own mount namespace", func() {
		specs.NeedsRoot()
		n, _ := chrooted("", 0)
		expectLook(inside, reexec.Target(n.PID))
		expectLook(inside, reexec.Target(n.PID, "mnt"))
		expectLook(inside, reexec.Target(n.PID, "net", "mnt"))
		expectLook(outside(), reexec.Target(n.PID, "net"))
		Expect(run[string]("input", reexec.Target(n.PID))).To(BeEmpty(), "there is no /proc")
	})

	It("shows its files in namespaces of its own", func() {
		specs.NeedsNamespaces("user", "mnt", "pid", "net")
		n, _ := chrooted("", unix.CLONE_NEWUSER|unix.CLONE_NEWNS|unix.CLONE_NEWPID|unix.CLONE_NEWNET)
		expectLook(inside, reexec.Target(n.PID))
		expectLook(inside, reexec.Target(n.PID, "user", "mnt"))
		expectLook(inside, reexec.Target(n.PID, "user", "mnt"), reexec.PreserveCredentials())
		asOrdinaryUser(func() {
			if os.Geteuid() == 0 { // whose neighbour this is
				expectLook(inside, reexec.Target(n.PID, "mnt"))
			}
		})
	})

	It("shows them where only the user namespace is another one", func() {
		specs.NeedsNamespaces("user")
		n, _ := chrooted("", unix.CLONE_NEWUSER)
		expectLook(inside, reexec.Target(n.PID))
		expectLook(inside, reexec.Target(n.PID, "user", "mnt"))
	})

	It("is entered where it is another mount of the same directory", func() {
		specs.NeedsRoot()
		n, _ := chrooted("bind", unix.CLONE_NEWNS)
		expectLook(view{Directory: "/"}, reexec.Target(n.PID))
	})

	It("takes CAP_SYS_CHROOT", func() {
		specs.NeedsRoot()
		specs.NeedsNobody()
		n, _ := chrooted("as nobody", 0)
		expectLook(inside, reexec.Target(n.PID))
		root := reexec.Namespace{Type: "mnt", Path: fmt.Sprintf("/proc/%d/root", n.PID)}
		asOrdinaryUser(func() {
			expectJoinError(root, syscall.EPERM, fmt.Sprintf("cannot join gons_mnt using reference %q: Operation not permitted "+
				"(to enter the root directory of the process takes CAP_SYS_CHROOT)", root.Path), reexec.Target(n.PID))
			Expect(reexec.RunReexecAction("silent", reexec.Target(n.PID, "net"))).To(Succeed())
		})
	})

	It("may be removed, or stopped", func() {
		specs.NeedsRoot()
		n, folder := chrooted("", 0)
		Expect(syscall.Kill(n.PID, syscall.SIGSTOP)).To(Succeed())
		defer func() { Expect(syscall.Kill(n.PID, syscall.SIGCONT)).To(Succeed()) }()
		expectLook(inside, reexec.Target(n.PID))
		Expect(os.RemoveAll(folder)).To(Succeed())
		expectLook(view{}, reexec.Target(n.PID))
	})

	It("must be there still when the run begins", func() {
		specs.NeedsRoot()
		n, _ := chrooted("", 0)
		everything, files := reexec.Target(n.PID), reexec.Target(n.PID, "mnt")
		n.End()
		expectInEveryWay(MatchError(fs.ErrNotExist), everything)
		expectInEveryWay(MatchError(ContainSubstring("cannot find mnt namespace of process %d", n.PID)), files)
	})

	It("may be that of a thread", func() {
		specs.NeedsRoot()
		folder := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(folder, "mark"), nil, 0o644)).To(Succeed())
		onOwnThread(func() {
			Expect(unix.Unshare(unix.CLONE_FS)).To(Succeed())
			top := opened("/")
			target := reexec.Target(unix.Gettid(), "mnt")
			Expect(unix.Chroot(folder)).To(Succeed())
			Expect(end(goCall(called(lookAround, target), background, struct{}{}))).To(Equal(inside))
			Expect(top.Chdir()).To(Succeed())
			Expect(unix.Chroot(".")).To(Succeed())
		})
	})

	It("is not entered twice", func() {
		specs.NeedsRoot()
		n, _ := chrooted("", 0)
		Expect(reexec.RunReexecAction("silent", reexec.Target(n.PID), reexec.Target(n.PID))).To(
			MatchError(ContainSubstring("duplicate namespace order type mnt")))
	})

	It("costs nothing where it is that of the caller, as for the program itself", func() {
		specs.NeedsCgo()
		expectLook(outside(), reexec.Target(os.Getpid()))
		expectLook(outside(), reexec.Target(os.Getpid(), "mnt"))
	})

	It("is not to be had in another mount namespace", func() {
		specs.NeedsRoot()
		n, _ := chrooted("", 0)
		Expect(lookAround.Call(background, struct{}{}, reexec.Unshare("mnt"), reexec.Target(n.PID))).Error().To(
			MatchError(ContainSubstring("is not in the new mount namespace of the child: leave out that, or mnt")))
		Expect(lookAround.Call(background, struct{}{}, reexec.Target(n.PID), newNeighbour("mnt").in("!mnt"))).Error().To(
			MatchError(ContainSubstring("duplicate namespace order type mnt")))
	})

	It("is not entered for references", func() {
		specs.NeedsNamespaces("user", "mnt")
		n, _ := chrooted("", unix.CLONE_NEWUSER|unix.CLONE_NEWNS)
		Expect(lookAround.Call(background, struct{}{}, reexec.Namespaces(must(reexec.NamespacesOf(n.PID))))).To(HaveField("Mark", false))
	})
})
