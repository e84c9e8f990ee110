package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"example.com/gons/reexec"
)

// visits are the checks of a process that goes on living, after joinAll.
var visits = []check{
	{"join user", alone("user")},
	{"join mnt", alone("mnt")},
	{"join cgroup", alone("cgroup")},
	{"join ipc", alone("ipc")},
	{"join net", alone("net")},
	{"join pid", alone("pid")},
	{"join uts", alone("uts")},
	{"join time", alone("time")},
	{"identity", identity},
	{"processes", processes},
	{"listen inside, serve outside: tcp", listens(endpoint{"tcp", "127.0.0.1:0"})},
	{"listen inside, serve outside: unix", listens(endpoint{"unix", "@engines-probe"})},
	{"read a file", reads},
	{"write a file", writes},
	{"start a program", starts},
	{"1000 calls of a worker", calls},
	{"stream", streams},
	{"time limit", timeLimit},
	{"sealed", sealed},
}

func joinAll(ctx context.Context, t *target) error {
	err := t.join(ctx, types, t.option...)
	return t.cannotEither(err, []string{"--all"})
}

// alone joins one namespace.
func alone(kind string) func(context.Context, *target) error {
	return func(ctx context.Context, t *target) error {
		if !t.foreign[kind] {
			return notApplicable("it is ours")
		}
		err := t.join(ctx, []string{kind}, t.options(kind)...)
		return t.cannotEither(err, []string{"--" + long[kind]}, []string{"--user", "--" + long[kind]})
	}
}

// long are the names of nsenter's options.
var long = map[string]string{
	"user": "user", "mnt": "mount", "cgroup": "cgroup", "ipc": "ipc", "net": "net", "pid": "pid", "uts": "uts", "time": "time",
}

// join starts a child, and looks where it is.
func (t *target) join(ctx context.Context, types []string, options ...reexec.ReexecActionOption) error {
	worker, err := dumpable.Start(ctx, options...)
	if err != nil {
		return err
	}
	return errors.Join(t.arrived(ctx, worker, types...), worker.Close())
}

// identity compares what the child is for itself, and what it is for us, with what it should be.
func identity(ctx context.Context, t *target) error {
	worker, err := look.Start(ctx, t.option...)
	if err != nil {
		return err
	}
	defer worker.Close()
	v, err := worker.Call(ctx, struct{}{})
	if err != nil {
		return err
	}
	if t.foreign["user"] && !t.preserve && (v.UID != 0 || v.GID != 0 || len(v.Groups) != 0 && t.mayDropGroups()) {
		return fmt.Errorf("user %d, group %d and groups %v, not root", v.UID, v.GID, v.Groups)
	}
	for key, id := range map[string]int{"Uid": t.uid, "Gid": t.gid} {
		ids, err := status(worker.PID(), key)
		if err != nil {
			return err
		}
		if want := strconv.Itoa(id); ids[0] != want || ids[1] != want || ids[3] != want { // the saved one may be another
			return fmt.Errorf("outside %s is %v, not %s", key, ids, want)
		}
	}
	return worker.Close()
}

func processes(ctx context.Context, t *target) error {
	v, err := look.Call(ctx, struct{}{}, t.option...)
	if err != nil {
		return err
	}
	if v.NoProc != "" {
		return notApplicable(v.NoProc)
	}
	pid, err := t.insider()
	if err != nil {
		return err
	}
	if !slices.Contains(v.PIDs, v.PID) || !slices.Contains(v.PIDs, pid) {
		return fmt.Errorf("child %d and process %d are not both among %v", v.PID, pid, v.PIDs)
	}
	return nil
}

// listens listens inside, serves outside, and dials inside.
func listens(at endpoint) func(context.Context, *target) error {
	return func(ctx context.Context, t *target) error {
		v, err := look.Call(ctx, struct{}{}, t.option...)
		if err != nil {
			return err
		}
		if at.Network == "tcp" && !v.Loopback {
			return notApplicable("its interface lo is down")
		}
		f, err := listen.Call(ctx, at, t.option...)
		if err != nil {
			return err
		}
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return err
		}
		defer l.Close()
		go func() {
			if conn, err := l.Accept(); err == nil {
				_, _ = conn.Write([]byte("hello"))
				conn.Close()
			}
		}()
		text, err := dial.Call(ctx, endpoint{at.Network, l.Addr().String()}, t.option...)
		if err == nil && text != "hello" {
			err = fmt.Errorf("got %q", text)
		}
		return err
	}
}

func reads(ctx context.Context, t *target) error {
	for _, name := range []string{"/etc/engine", "/etc/passwd"} {
		outside, err := os.ReadFile(fmt.Sprintf("/proc/%d/root%s", t.pid, name))
		if err != nil {
			continue
		}
		inside, err := read.Call(ctx, name, t.option...)
		if err == nil && string(inside) != string(outside) {
			err = fmt.Errorf("%s is not the file that the process sees", name)
		}
		return err
	}
	return notApplicable("no file is seen from outside")
}

func writes(ctx context.Context, t *target) error {
	made, err := create.Call(ctx, "hello", t.option...)
	switch {
	case t.preserve && errors.Is(err, syscall.EOVERFLOW):
		return notApplicable("our user has no name in there")
	case err != nil:
		return err
	case made.File == nil:
		return notApplicable("all is read-only")
	}
	defer made.File.Close()
	if _, err := remove.Call(ctx, made.Name, t.option...); err != nil {
		return err
	}
	text, err := io.ReadAll(io.NewSectionReader(made.File, 0, 100))
	if err != nil || string(text) != "hello" {
		return fmt.Errorf("outside it holds %q (%v)", text, err)
	}
	info, err := made.File.Stat()
	if err != nil {
		return err
	}
	if stat := info.Sys().(*syscall.Stat_t); int(stat.Uid) != t.uid || int(stat.Gid) != t.gid {
		return fmt.Errorf("outside it belongs to %d:%d, not to %d:%d", stat.Uid, stat.Gid, t.uid, t.gid)
	}
	if t.foreign["user"] && !t.preserve && (made.UID != 0 || made.GID != 0) {
		return fmt.Errorf("inside it belongs to %d:%d", made.UID, made.GID)
	}
	return nil
}

// script prints who it is, if there is a /proc.
const script = "echo started; [ ! -e /proc/self/status ] || " +
	"while read key value; do case $key in Uid:|CapEff:) echo $key $value;; esac; done </proc/self/status"

func starts(ctx context.Context, t *target) error {
	a, err := start.Call(ctx, script, t.option...)
	if err != nil {
		return err
	}
	if a.Program == "" {
		return notApplicable("there is no shell")
	}
	words := strings.Fields(a.Output)
	uid, capabilities := slices.Index(words, "Uid:"), slices.Index(words, "CapEff:")
	switch {
	case len(words) == 0 || words[0] != "started":
		return fmt.Errorf("it said %q", a.Output)
	case !t.foreign["user"] || t.preserve || uid < 0:
		return nil
	case words[uid+1] != "0" || strings.Trim(words[capabilities+1], "0") == "":
		return fmt.Errorf("it is not root, or has no capabilities: %q", a.Output)
	}
	return nil
}
