package driver

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// What one would do in other namespaces without a child that runs a function.

// NetLink is the network namespace of the calling thread.
func NetLink() (string, error) { return os.Readlink("/proc/thread-self/ns/net") }

// Thread has a thread join a network namespace for a moment.
func Thread() error {
	there, err := Neighbour()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // and if it cannot come back, it ends with its goroutine
	back, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer back.Close()
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", there.PID))
	if err != nil {
		return err
	}
	defer namespace.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	link, err := NetLink()
	if err := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	runtime.UnlockOSThread()
	return Check(link, there.Net, err)
}

// Nsenter has a program be run in a network namespace.
func Nsenter() error {
	there, err := Neighbour()
	if err != nil {
		return err
	}
	args := []string{"--target", fmt.Sprint(there.PID), "--net", "readlink", "/proc/self/ns/net"}
	if os.Geteuid() != 0 {
		args = append([]string{"--user", "--preserve-credentials"}, args...)
	}
	link, err := exec.Command("nsenter", args...).Output()
	return Check(strings.TrimSuffix(string(link), "\n"), there.Net, err)
}

const (
	// File is a file in the neighbour's mount namespace, where a program has asked for it in its environment.
	File      = furnished + "/file"
	FileSize  = 100_000_000
	furnished = "/tmp" // exists everywhere; the neighbour mounts a tmpfs there
	fileVar   = "BENCHMARK_FILE"
)

// WithFile has the neighbour have a File.
func WithFile() (*Place, error) {
	if err := os.Setenv(fileVar, "1"); err != nil {
		return nil, err
	}
	return Neighbour()
}

// destination is where files are copied to. Memory, so that no disk is measured.
var destination = sync.OnceValues(func() (path string, err error) {
	f, err := os.CreateTemp("/dev/shm", "benchmark")
	if err != nil {
		f, err = os.CreateTemp("", "benchmark")
	}
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
})

// CleanUp removes what has been copied.
func CleanUp() {
	if path, err := destination(); err == nil {
		_ = os.Remove(path)
	}
}

// CopyFrom copies an open file, which it closes.
func CopyFrom(f *os.File) error {
	defer f.Close()
	path, err := destination()
	if err != nil {
		return err
	}
	to, err := os.Create(path)
	if err != nil {
		return err
	}
	// Between two file systems io.Copy takes pieces of 32 KiB. These are as large as cp's, and
	// hide from it that it copies between files.
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{f}, make([]byte, 256<<10))
	if err == nil && n != FileSize {
		err = fmt.Errorf("%d bytes instead of %d", n, FileSize)
	}
	if closeErr := to.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Root is where the neighbour's File is found without joining its namespaces.
func (p *Place) root() string { return filepath.Join(fmt.Sprintf("/proc/%d/root", p.PID), File) }

// Cp has cp copy the neighbour's File.
func Cp() error {
	there, err := WithFile()
	if err != nil {
		return err
	}
	path, err := destination()
	if err != nil {
		return err
	}
	return exec.Command("cp", there.root(), path).Run()
}

// Direct copies the neighbour's File.
func Direct() error {
	there, err := WithFile()
	if err != nil {
		return err
	}
	f, err := os.Open(there.root())
	if err != nil {
		return err
	}
	return CopyFrom(f)
}
