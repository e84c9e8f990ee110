//go:build linux

// Command copy copies a file out of the mount namespace of a process, such as one in
// a container, and shows how far it is:
//
//	go -C examples/copy run . PID /etc/passwd /tmp/passwd
//
// Without arguments it makes a process in new namespaces, with a large file that no other
// process sees, and copies that one to /dev/null; that needs no privileges.
//
// It is a module of its own, so that only it requires the library for the progress bar.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"example.com/gons/reexec"
	"example.com/gons/reexec/inside"
)

func main() {
	log.SetFlags(0)
	reexec.CheckAction()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

var errUsage = errors.New("usage: copy [PID FILE-THERE FILE-HERE]")

func run(ctx context.Context, args []string) error {
	switch len(args) {
	case 0:
		worker, err := furnish.Start(ctx, reexec.Unshare("user", "mnt"))
		if err != nil {
			return err
		}
		defer worker.Close()
		file, err := worker.Call(ctx, 64<<20)
		if err != nil {
			return err
		}
		return copyFile(ctx, worker.PID(), file, os.DevNull)
	case 3:
		pid, err := strconv.Atoi(args[0])
		if err != nil {
			return errUsage
		}
		return copyFile(ctx, pid, args[1], args[2])
	}
	return errUsage
}

// copyFile copies a file that a process sees.
func copyFile(ctx context.Context, pid int, there, here string) (err error) {
	from, err := inside.Open(ctx, there, reexec.Target(pid, "user", "mnt"))
	if err != nil {
		return err
	}
	defer from.Close()
	defer context.AfterFunc(ctx, func() { _ = from.Close() })() // stops the copying
	info, err := from.Stat()
	if err != nil {
		return err
	}
	to, err := os.Create(here)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	_, err = io.Copy(io.MultiWriter(to, progress(info.Size(), there)), from)
	return err
}

// progress returns a writer that shows on stderr how much has been written to it: by a bar in a terminal, or
// by a line for each tenth elsewhere, such as in a log.
func progress(size int64, name string) io.Writer {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return progressbar.DefaultBytes(size, name)
	}
	return &lines{size: size, name: name}
}

type lines struct {
	size, written, tenths int64
	name                  string
}

func (l *lines) Write(b []byte) (int, error) {
	l.written += int64(len(b))
	if tenths := l.written * 10 / max(l.size, 1); tenths > l.tenths {
		l.tenths = tenths
		fmt.Fprintf(os.Stderr, "%s: %d of %d bytes\n", l.name, l.written, l.size)
	}
	return len(b), nil
}

// furnish makes a file of this size in a file system that only its mount namespace has.
var furnish = reexec.RegisterFunc("furnish", func(size int64) (path string, err error) {
	if err := syscall.Mount("tmpfs", "/tmp", "tmpfs", 0, ""); err != nil {
		return "", fmt.Errorf("cannot mount a tmpfs: %w", err)
	}
	return "/tmp/large", os.WriteFile("/tmp/large", make([]byte, size), 0o600)
})
