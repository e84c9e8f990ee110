package child

import (
	"os"
	"os/exec"

	"example.com/gons/reexec/internal/sys"
)

// files are those that a child gets. The parent closes its own descriptors of them after the start.
type files struct {
	cmd    *exec.Cmd
	theirs []*os.File
}

func (f *files) close() { sys.CloseAll(f.theirs...) }

// inherit gives the child a file, and returns the number under which the child finds it: they follow stdin, stdout and
// stderr.
func (f *files) inherit(file *os.File) (number int) {
	f.cmd.ExtraFiles = append(f.cmd.ExtraFiles, file)
	return 2 + len(f.cmd.ExtraFiles)
}

// listen makes a pipe to which the child writes.
func (f *files) listen(reader *Reader) (theirs *os.File, err error) {
	ours, theirs, err := sys.Pipe()
	if err != nil {
		return nil, err
	}
	f.theirs = append(f.theirs, theirs)
	return theirs, reader.open(ours)
}

// connect makes the files through which parent and child talk.
func (c *Child) connect(f *files, spec Spec, order *Orders) error {
	answers, err := f.listen(c.Answer)
	if err != nil {
		return err
	}
	stderr, err := f.listen(&c.outputs[0].pipe)
	if err != nil {
		return err
	}
	var stdin *os.File
	if spec.Input != nil || spec.Function {
		if stdin, c.Stdin, err = sys.Pipe(); err == nil {
			f.theirs = append(f.theirs, stdin)
			c.stdin, _ = c.Stdin.SyscallConn() // of a file that is open
		}
	} else {
		stdin, err = f.nothing()
	}
	if err != nil {
		return err
	}
	f.cmd.Stdin, f.cmd.Stdout, f.cmd.Stderr = stdin, answers, stderr
	if spec.Function {
		return c.connectFunction(f, spec, order, answers)
	}
	if spec.Input != nil { // before the start: a child that fails early, and reads nothing, so always fails in the same way
		c.WillWrite(&c.input, [][]byte{spec.Input})
		c.input.Now()
	}
	return nil
}

// connectFunction gives a function a pipe of its own for answers, and a socket beside that.
func (c *Child) connectFunction(f *files, spec Spec, order *Orders, answers *os.File) error {
	order.Concurrency, order.Grace = spec.Concurrency, spec.Grace
	ours, theirs, err := sys.SocketPair()
	if err != nil {
		return err
	}
	c.Control, f.theirs = ours, append(f.theirs, theirs)

	// A child that can read its own stderr is not ended by SIGPIPE when its parent ends.
	stderr, err := sys.Duplicate(c.outputs[0].pipe.file)
	if err != nil {
		return err
	}
	f.theirs = append(f.theirs, stderr)
	order.Answers, order.Control, order.Stderr = f.inherit(answers), f.inherit(theirs), f.inherit(stderr)

	stdout := os.Stdout
	if len(c.outputs) > 1 {
		stdout, err = f.listen(&c.outputs[1].pipe)
	} else if _, statErr := stdout.Stat(); statErr != nil { // it is closed
		stdout, err = f.nothing()
	}
	f.cmd.Stdout = stdout
	return err
}

// nothing returns an empty file that takes all that is written to it: the child's runtime does not
// start with a standard stream that is closed. Where there is no /dev/null, it is the reading end of an empty
// pipe; a write to that is an error, but no signal.
func (f *files) nothing() (*os.File, error) {
	file, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		var w *os.File
		file, w, err = os.Pipe()
		_ = w.Close() // or nothing: nil
	}
	f.theirs = append(f.theirs, file)
	return file, err
}
