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
	reexec.Register("descriptors", func() {
		Child()
		out, err := exec.Command("ls", "-l", "/proc/self/fd").Output()
		if err != nil {
			panic(err)
		}
		if dir := os.Getenv("GOCOVERDIR"); dir == "" || strings.Contains(string(out), dir) {
			panic(fmt.Sprintf("directory %q has come through to another program: %s", dir, out))
		}
	})
	reexec.Register("setuid", func() {
		if err := syscall.Setuid(65534); err != nil {
			panic(err)
		}
		fmt.Printf("%q", Child())
	})
	reexec.Register("take descriptors", func() { // all of them, for another directory
		other, err := syscall.Open(os.Getenv("CONSUMER_OTHER"), syscall.O_RDONLY, 0)
		if err != nil {
			panic(err)
		}
		for fd := 3; fd < 100; fd++ {
			if fd != other && mine(fd) {
				if err := syscall.Dup3(other, fd, syscall.O_CLOEXEC); err != nil {
					panic(err)
				}
			}
		}
		fmt.Printf("%q", Child())
	})
	reexec.Register("no room", func() { // as on a full disk
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{}); err != nil {
			panic(err)
		}
		fmt.Printf("%q", Child())
	})
	reexec.Register("chroot", func() {
		if err := syscall.Chroot(os.Getenv("CONSUMER_ROOT")); err != nil {
			panic(err)
		}
		fmt.Printf("%q", Child())
	})
}

// mine tells whether an action may close a descriptor: the runtime's own are not its.
func mine(fd int) bool {
	target, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd))
	return err == nil && !strings.HasPrefix(target, "anon_inode:")
}

func TestDescriptors(t *testing.T) {
	Parent()
	if err := reexec.RunReexecAction("descriptors", namespaces()); err != nil {
		t.Error(err)
	}
}

func TestChroot(t *testing.T) {
	t.Setenv("CONSUMER_ROOT", t.TempDir())
	Parent()
	run(t, "chroot")
}

func TestTakenDescriptors(t *testing.T) {
	other := t.TempDir()
	t.Setenv("CONSUMER_OTHER", other)
	Parent()
	run(t, "take descriptors")
	entries, err := os.ReadDir(other)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > 0 {
		t.Errorf("coverage data was written elsewhere: %v", entries)
	}
}

func TestNoRoom(t *testing.T) {
	Parent()
	run(t, "no room")
}

func TestSetuid(t *testing.T) {
	Parent()
	run(t, "setuid")
}

func TestCredential(t *testing.T) {
	Parent()
	var result string
	if err := reexec.RunReexecAction("answer", reexec.Result(&result), reexec.Cmd(func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})); err != nil {
		t.Error(err)
	}
}
