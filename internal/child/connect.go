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

// pipe makes a pipe, of which the child gets one end.
func (f *files) pipe(reads bool) (ours, theirs *os.File, err error) {
	r, w, err := sys.Pipe()
	if err != nil {
		return nil, nil, err
	}
	ours, theirs = r, w
	if reads {
		ours, theirs = w, r
	}
	f.theirs = append(f.theirs, theirs)
	return ours, theirs, nil
}

// listen makes a pipe to which the child writes.
func (f *files) listen(reader *Reader) (theirs *os.File, err error) {
	ours, theirs, err := f.pipe(false)
	if err != nil {
		return nil, err
	}
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
		if c.Stdin, stdin, err = f.pipe(true); err == nil {
			c.stdin, err = c.Stdin.SyscallConn()
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
	return nil
}

// connectFunction has a function answer on a pipe of its own, beside which it has a socket.
func (c *Child) connectFunction(f *files, spec Spec, order *Orders, answers *os.File) error {
	order.Concurrency, order.Grace = spec.Concurrency, spec.Grace
	order.Answers = f.inherit(answers)
	ours, theirs, err := sys.SocketPair()
	if err != nil {
		return err
	}
	c.Control, f.theirs = ours, append(f.theirs, theirs)
	order.Control = f.inherit(theirs)

	// A child that can read its own stderr is not ended by SIGPIPE when its parent ends.
	stderr, err := sys.Duplicate(c.outputs[0].pipe.file, 3)
	if err != nil {
		return err
	}
	f.theirs = append(f.theirs, stderr)
	order.Stderr = f.inherit(stderr)

	stdout := os.Stdout
	switch {
	case len(c.outputs) > 1:
		stdout, err = f.listen(&c.outputs[1].pipe)
	case !isOpen(stdout):
		stdout, err = f.nothing()
	}
	f.cmd.Stdout = stdout
	return err
}

// nothing is what a child gets where there is nothing to be had: its runtime would not
// start without (and without /dev/null). Where the parent has no /dev/null, an empty
// pipe does its service; what writes to its reading end gets an error, but no signal.
func (f *files) nothing() (*os.File, error) {
	file, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		var w *os.File
		if file, w, err = os.Pipe(); err != nil {
			return nil, err
		}
		_ = w.Close()
	}
	f.theirs = append(f.theirs, file)
	return file, nil
}

// isOpen tells whether a file is open.
func isOpen(f *os.File) bool {
	_, err := f.Stat()
	return err == nil
}
