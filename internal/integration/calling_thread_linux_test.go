package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// Traits are what a process inherits from the thread that has started it.
type traits struct {
	Umask      int
	Nice       int
	Processors string
	NoNewPrivs int
	SecureBits int
	Makes      string // why no file can be made: that is what the thread's Landlock rules forbid
}

var traitsOf = reexec.RegisterFunc("traits", traitsHere)

// traitsHere returns the traits of the calling thread. It tries to make a file in a folder.
func traitsHere(folder string) (t traits, err error) {
	t.Umask = unix.Umask(0)
	unix.Umask(t.Umask)
	if t.Nice, err = unix.Getpriority(unix.PRIO_PROCESS, 0); err != nil {
		return t, err
	}
	t.Nice = 20 - t.Nice // what the system call returns is above 0
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return t, err
	}
	t.Processors = fmt.Sprint(set)
	if t.NoNewPrivs, err = unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil {
		return t, err
	}
	if t.SecureBits, err = unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0); err != nil {
		return t, err
	}
	f, err := os.CreateTemp(folder, "")
	if err != nil {
		t.Makes = errors.Unwrap(err).Error()
		return t, nil
	}
	return t, errors.Join(f.Close(), os.Remove(f.Name()))
}

func init() {
	reexec.Register("traits of action", func() {
		t, err := traitsHere(param().(string))
		if err != nil {
			fmt.Fprint(os.Stderr, err)
		}
		answer(t)
	})
}

// confine gives the calling thread traits that no other thread has, as far as the system
// allows, and returns what becomes of making a file.
func confine() (forbidden string) {
	GinkgoHelper()
	Expect(unix.Unshare(unix.CLONE_FS)).To(Succeed()) // a umask of its own
	unix.Umask(0o137)
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), min(20-nice+7, 19))).To(Succeed())
	var set unix.CPUSet
	Expect(unix.SchedGetaffinity(0, &set)).To(Succeed())
	for cpu := 0; set.Count() > 1; cpu++ {
		set.Clear(cpu)
	}
	Expect(unix.SchedSetaffinity(0, &set)).To(Succeed())
	if specs.IsRoot() {
		Expect(unix.Prctl(unix.PR_SET_SECUREBITS, 1<<2, 0, 0, 0)).To(Succeed()) // SECBIT_NO_SETUID_FIXUP
	}
	Expect(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)).To(Succeed())
	handled := uint64(1 << 8) // LANDLOCK_ACCESS_FS_MAKE_REG
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&handled)), unsafe.Sizeof(handled), 0)
	if errno != 0 {
		return "" // this kernel has none; all else is still worth a look
	}
	defer unix.Close(int(rules))
	_, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0)
	Expect(errno).To(BeZero())
	return "permission denied"
}

var _ = Describe("a child has what the calling thread has", func() {

	DescribeTable("whatever becomes of it",
		func(signal syscall.Signal, types ...string) {
			kinds := []string{"pid", "net"}
			if !specs.IsRoot() { // joining a user namespace resets securebits
				kinds = append(kinds, "user")
				if len(types) > 0 {
					types = append([]string{"!user"}, types...)
				}
			}
			n := newNeighbour(kinds...)
			refs, files := n.held(types...) // Landlock keeps the thread from looking at other processes
			defer closeAll(files)
			options := []reexec.ReexecActionOption{
				reexec.Namespaces(refs),
				reexec.Cmd(func(cmd *exec.Cmd) {
					cmd.ExtraFiles = files
					cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: signal}
				}),
			}
			folder := GinkgoT().TempDir()
			before, err := traitsHere(folder)
			Expect(err).NotTo(HaveOccurred())
			onOwnThread(func() {
				forbidden := confine()
				here, err := traitsHere(folder)
				Expect(err).NotTo(HaveOccurred())
				Expect(here).NotTo(Equal(before))
				Expect(here.Makes).To(Equal(forbidden))
				for _, by := range ways[string, traits]() {
					Expect(by(traitsOf, folder, options...)).To(Equal(here))
				}
				var there traits
				Expect(reexec.RunReexecAction("traits of action", append(options, reexec.Param(folder), reexec.Result(&there))...)).To(Succeed())
				Expect(there).To(Equal(here))
			})
			Expect(traitsHere(folder)).To(Equal(before), "of other threads")
		},
		Entry("plain", syscall.Signal(0)),
		Entry("with a Pdeathsig", syscall.SIGKILL),
		Entry("in namespaces", syscall.Signal(0), "net"),
		Entry("in a PID namespace", syscall.Signal(0), "!pid"),
		Entry("in a PID namespace, with a Pdeathsig", syscall.SIGKILL, "net", "pid"),
	)

})
