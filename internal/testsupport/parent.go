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

// Collect collects the coverage data of all children in a directory from now on: if inherited is not empty, of
// those only whose environment still names that directory. It returns the directory's path, which is good from anywhere.
func Collect(dir, inherited string) (path string, err error) {
	path, err = filepath.Abs(dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err == nil {
		collecting.Store(&collection{dir: f, inherited: inherited})
	}
	return path, err
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
