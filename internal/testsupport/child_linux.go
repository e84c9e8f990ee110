package testsupport

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// directory is where this child leaves its coverage data, nil if it leaves none.
var directory *os.File

// identity is that of the directory: an action may close all descriptors that it finds, and
// open others.
var identity os.FileInfo

// home is the working directory to return to, nil if this child is there.
var home *os.File

// takeDirectory takes over the directory for coverage data from the parent. If
// its path does not lead there, since the child has joined another mount
// namespace, GOCOVERDIR becomes one that does: by way of /proc, or, where there is
// none, a relative one from within the directory. Nothing is ever written into a
// directory that just bears the same name.
func takeDirectory(number string) {
	fd, err := strconv.Atoi(number)
	if err != nil {
		return
	}
	unix.CloseOnExec(fd)
	path, byNumber := os.Getenv(dirVar), fmt.Sprintf("/proc/self/fd/%d", fd)
	directory = os.NewFile(uintptr(fd), path)
	identity, _ = directory.Stat() // or it leads nowhere
	if leadsToDirectory(path) {
		return
	}
	setDir(byNumber)
	if leadsToDirectory(byNumber) {
		return
	}
	here, err := os.OpenFile(".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err == nil && directory.Chdir() == nil {
		home = here
		setDir(filepath.Join("..", filepath.Base(path)))
	}
}

func leadsToDirectory(path string) bool {
	there, err := os.Stat(path)
	return err == nil && os.SameFile(there, identity)
}

// Return returns to the working directory in which the child was started. It must
// be called before the action runs, and after package main was initialised, if
// that is possible at all: a program built by "go build -cover" can find the
// directory for its coverage data only then.
func Return() error {
	if home == nil {
		return nil
	}
	if err := home.Chdir(); err != nil {
		return fmt.Errorf("cannot return to the working directory from the one for coverage data: %w", err)
	}
	// An action may end by itself in os.Exit, where a test binary looks up
	// GOCOVERDIR. Then there is no way, but neither is there a wrong one.
	setDir(fmt.Sprintf("/proc/self/fd/%d", directory.Fd()))
	_ = home.Close()
	home = nil
	return nil
}

// enterDirectory goes to the directory for coverage data, to which there may be
// no other way: the child may be in another mount namespace, or may have changed
// its root. The action may have closed the directory's descriptor, which may be another file's by now; then the path may still lead
// there. A child that finds no way has no GOCOVERDIR: its data is lost.
func enterDirectory() {
	if directory == nil {
		return
	}
	here, err := directory.Stat()
	runtime.LockOSThread() // it may have a working directory of its own (CLONE_FS)
	if err == nil && os.SameFile(here, identity) && directory.Chdir() == nil {
		setDir(".")
	} else if !leadsToDirectory(os.Getenv(dirVar)) {
		_ = os.Unsetenv(dirVar)
	}
}

// setDir sets GOCOVERDIR. This fails only for values with a zero byte in them.
func setDir(path string) { _ = os.Setenv(dirVar, path) }
