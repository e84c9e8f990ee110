package testsupport

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
)

// A collection is where a parent collects the coverage data of its children.
type collection struct {
	dir *os.File // its name is absolute, and free of symbolic links

	// Children whose GOCOVERDIR differs are left alone, as their data is wanted
	// elsewhere; nothing is compared if this is empty.
	inherited string
}

// collecting is nil in a parent that is not covered.
var collecting atomic.Pointer[collection]

// Collect collects the coverage data of all children in a directory, even if
// their environment names another, until stop is called. It returns the directory's path,
// which is good from anywhere.
func Collect(dir string) (path string, stop func(), err error) {
	c, err := collect(dir, "")
	if err != nil {
		return "", nil, err
	}
	// A child may be about to start, so closing the file is left to the garbage
	// collector.
	return c.dir.Name(), func() { collecting.CompareAndSwap(c, nil) }, nil
}

func collect(path, inherited string) (*collection, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	c := &collection{dir: dir, inherited: inherited}
	collecting.Store(c)
	return c, nil
}

// Cover makes a child, which is about to be started, leave its coverage data to
// this parent. It does nothing if this parent is not covered.
func Cover(cmd *exec.Cmd) {
	c := collecting.Load()
	if c == nil || (c.inherited != "" && c.inherited != Lookup(cmd.Env, dirVar)) {
		return
	}
	number := "none" // without mount namespaces the path is enough
	if runtime.GOOS == "linux" {
		cmd.ExtraFiles = append(cmd.ExtraFiles, c.dir)
		number = strconv.Itoa(2 + len(cmd.ExtraFiles))
	}
	cmd.Env = append(cmd.Env, dirVar+"="+c.dir.Name(), fileVar+"="+number)
}

// Lookup returns a variable's value: the last one counts.
func Lookup(env []string, name string) (value string) {
	for _, variable := range env {
		if v, ok := strings.CutPrefix(variable, name+"="); ok {
			value = v
		}
	}
	return value
}
