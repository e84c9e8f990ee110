package testsupport

import (
	"os"
	"os/exec"
	"strconv"
)

// handDown hands an open file down to a child and returns its number there.
func handDown(cmd *exec.Cmd, f *os.File) (number string) {
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	return strconv.Itoa(2 + len(cmd.ExtraFiles))
}
