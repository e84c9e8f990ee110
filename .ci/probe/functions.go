package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"golang.org/x/sys/unix"
)

// A view is what a function sees inside.
type view struct {
	UID, GID int
	Groups   []int
	PID      int
	PIDs     []int  // all processes in /proc
	NoProc   string // why there are none
	Loopback bool   // interface lo is up
}

// An endpoint is what to listen at, or to dial.
type endpoint struct{ Network, Address string }

// A file is one that has been made inside, and is open. Without one, all was read-only.
type file struct {
	Name     string
	UID, GID uint32
	File     *os.File
}

// An answer is what a program printed that has been started inside. Without one, there was no shell.
type answer struct{ Program, Output string }

// What runs inside.
var (
	// dumpable lets the parent look at the child's namespaces, even if it is not root.
	dumpable = reexec.RegisterFunc("dumpable", func(struct{}) (struct{}, error) {
		return struct{}{}, unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	})
	look = reexec.RegisterFunc("look", func(struct{}) (view, error) {
		v := view{UID: os.Getuid(), GID: os.Getgid(), PID: os.Getpid()}
		var err error
		if v.Groups, err = os.Getgroups(); err != nil {
			return v, err
		}
		entries, err := os.ReadDir("/proc")
		for _, entry := range entries {
			if pid, err := strconv.Atoi(entry.Name()); err == nil {
				v.PIDs = append(v.PIDs, pid)
			}
		}
		if err != nil {
			v.NoProc = err.Error()
		} else if len(v.PIDs) == 0 {
			v.NoProc = "/proc is empty"
		}
		lo, err := net.InterfaceByName("lo")
		v.Loopback = err == nil && lo.Flags&net.FlagUp != 0
		return v, nil
	})
	listen = reexec.RegisterFunc("listen", func(at endpoint) (*os.File, error) {
		l, err := net.Listen(at.Network, at.Address)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		return l.(interface{ File() (*os.File, error) }).File()
	})
	dial = reexec.RegisterFunc("dial", func(to endpoint) (string, error) {
		conn, err := net.Dial(to.Network, to.Address)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		text, err := io.ReadAll(conn)
		return string(text), err
	})
	read   = reexec.RegisterFunc("read", os.ReadFile)
	create = reexec.RegisterFunc("create", func(text string) (made file, err error) {
		for _, dir := range []string{"/tmp", "/dev/shm", "/var/tmp", "/run", "/root", "/"} {
			f, err := os.CreateTemp(dir, "engines-probe")
			if errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOENT) {
				continue
			}
			if err != nil {
				return made, err
			}
			var stat unix.Stat_t
			_, err = f.WriteString(text)
			err = cmp.Or(err, unix.Fstat(int(f.Fd()), &stat))
			return file{f.Name(), stat.Uid, stat.Gid, f}, err
		}
		return made, nil
	})
	remove = reexec.RegisterFunc("remove", func(name string) (struct{}, error) { return struct{}{}, os.Remove(name) })
	start  = reexec.RegisterFunc("start", func(script string) (a answer, err error) {
		for _, shell := range []string{"/bin/sh", "/usr/bin/sh"} {
			if _, err := os.Stat(shell); err != nil {
				continue
			}
			command := exec.Command(shell, "-c", script)
			command.Stdin = strings.NewReader("") // or there would have to be a /dev/null
			output, err := command.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, output)
			}
			return answer{shell, string(output)}, err
		}
		return a, nil
	})
	count = reexec.RegisterStream("count", func(_ context.Context, n int, yield func(int) bool) error {
		for i := 0; i < n && yield(i); i++ {
		}
		return nil
	})
	double = reexec.RegisterFunc("double", func(n int) (int, error) { return 2 * n, nil })
	sleep  = reexec.RegisterFunc("sleep", func(d time.Duration) (struct{}, error) { time.Sleep(d); return struct{}{}, nil })
)
