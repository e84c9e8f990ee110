package consumer

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"example.com/gons/reexec"
)

func init() {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	reexec.Register("descriptors", func() {
		Child()
		out, err := exec.Command("ls", "-l", "/proc/self/fd").Output()
		must(err)
		if dir := os.Getenv("GOCOVERDIR"); dir == "" || strings.Contains(string(out), dir) {
			panic(fmt.Sprintf("directory %q has come through to another program: %s", dir, out))
		}
		fmt.Print(`"child"`)
	})
	reexec.Register("setuid", func() {
		must(syscall.Setuid(65534))
		fmt.Printf("%q", Child())
	})
	reexec.Register("take descriptors", func() { // all of them, for another directory
		other, err := syscall.Open(os.Getenv("CONSUMER_OTHER"), syscall.O_RDONLY, 0)
		must(err)
		for fd := 3; fd < 100; fd++ {
			if fd != other && mine(fd) {
				must(syscall.Dup3(other, fd, syscall.O_CLOEXEC))
			}
		}
		fmt.Printf("%q", Child())
	})
	reexec.Register("no room", func() { // as on a full disk
		must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{}))
		fmt.Printf("%q", Child())
	})
	reexec.Register("chroot", func() {
		must(syscall.Chroot(os.Getenv("CONSUMER_ROOT")))
		fmt.Printf("%q", Child())
	})
}

// mine tells whether an action may close a descriptor: the runtime's own are not its.
func mine(fd int) bool {
	target, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd))
	return err == nil && !strings.HasPrefix(target, "anon_inode:")
}

func TestDescriptors(t *testing.T) { run(t, "descriptors") }

func TestChroot(t *testing.T) {
	t.Setenv("CONSUMER_ROOT", t.TempDir())
	run(t, "chroot")
}

func TestTakenDescriptors(t *testing.T) {
	other := t.TempDir()
	t.Setenv("CONSUMER_OTHER", other)
	run(t, "take descriptors")
	if entries, err := os.ReadDir(other); err != nil || len(entries) > 0 {
		t.Errorf("coverage data was written elsewhere: %v, %v", entries, err)
	}
}

func TestNoRoom(t *testing.T) { run(t, "no room") }

func TestSetuid(t *testing.T) { run(t, "setuid") }

func TestCredential(t *testing.T) {
	run(t, "answer", reexec.Cmd(func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}))
}
