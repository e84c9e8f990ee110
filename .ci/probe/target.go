package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"example.com/gons/reexec"
)

// A target is the process that is visited.
type target struct {
	pid      int
	foreign  map[string]bool             // types of those of its namespaces that are not ours
	preserve bool                        // its user namespace maps no user 0 or no group 0
	uid, gid int                         // user and group that its root is for us, or that we are
	option   []reexec.ReexecActionOption // what a run needs to get in
	nsenter  string                      // how nsenter gets into all of its namespaces
}

var types = []string{"user", "mnt", "cgroup", "ipc", "net", "pid", "uts", "time"}

// inspect looks at a process from outside.
func inspect(_ context.Context, t *target) error {
	t.foreign, t.uid, t.gid = map[string]bool{}, os.Getuid(), os.Getgid()
	t.nsenter = t.tryNsenter("--all")
	for _, kind := range types {
		own, err := namespace(os.Getpid(), kind)
		if err != nil {
			continue // this kernel has none
		}
		its, err := namespace(t.pid, kind)
		if err != nil {
			return t.cannotEither(err, []string{"--all"})
		}
		t.foreign[kind] = own != its
	}
	if t.foreign["user"] {
		uid, uidErr := outside(t.pid, "uid_map")
		gid, gidErr := outside(t.pid, "gid_map")
		if t.preserve = uidErr != nil || gidErr != nil; !t.preserve {
			t.uid, t.gid = uid, gid
		}
	}
	t.option = t.options()
	return nil
}

// options are those of a run that joins namespaces of these types; without types all.
func (t *target) options(types ...string) []reexec.ReexecActionOption {
	options := []reexec.ReexecActionOption{reexec.Target(t.pid, types...)}
	if t.preserve {
		options = append(options, reexec.PreserveCredentials())
	}
	return options
}

func namespace(pid int, kind string) (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
}

// outside is the ID that 0 in a user namespace is for us.
func outside(pid int, mapping string) (int, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, mapping))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "0" {
			return strconv.Atoi(fields[1])
		}
	}
	return 0, fmt.Errorf("%s of process %d does not map 0", mapping, pid)
}

// mayDropGroups tells whether a child may: we are root, or the user namespace allows it.
func (t *target) mayDropGroups() bool {
	allowed, err := os.ReadFile(fmt.Sprintf("/proc/%d/setgroups", t.pid))
	return os.Getuid() == 0 || err == nil && strings.TrimSpace(string(allowed)) == "allow"
}

// insider is the PID that the process has in its own PID namespace.
func (t *target) insider() (int, error) {
	pids, err := status(t.pid, "NSpid")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(pids[len(pids)-1])
}

// status returns the words of a line of the status of a process.
func status(pid int, key string) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, err
	}
	_, line, _ := strings.Cut(string(text), "\n"+key+":")
	line, _, _ = strings.Cut(line, "\n")
	return strings.Fields(line), nil
}

// tryNsenter tells how nsenter can join namespaces: it "works", or "works with --preserve-credentials", or "fails: …".
func (t *target) tryNsenter(options ...string) string {
	said, err := t.runNsenter(options...)
	if err == nil {
		return "works"
	}
	if _, err := t.runNsenter(append(options, preserve)...); err == nil {
		return "works with " + preserve
	}
	return "fails: " + said
}

const preserve = "--preserve-credentials"

func (t *target) runNsenter(options ...string) (said string, err error) {
	args := append([]string{"--target", strconv.Itoa(t.pid)}, options...)
	output, err := exec.Command("nsenter", append(args, "/bin/sh", "-c", ":")...).CombinedOutput()
	if strings.Contains(string(output), "failed to execute") {
		err = nil // it is inside, and finds no shell there
	}
	if said = strings.TrimSpace(string(output)); said == "" && err != nil {
		said = err.Error()
	}
	return said, err
}

// cannotEither returns why a check that failed is not applicable: nsenter fails, too, in each of these ways. Else it
// returns err.
func (t *target) cannotEither(err error, ways ...[]string) error {
	if err == nil {
		return nil
	}
	for _, way := range ways {
		if !strings.HasPrefix(t.tryNsenter(way...), "fails") {
			return err
		}
	}
	return notApplicable("nsenter cannot either: " + err.Error())
}

// arrived tells whether a child is where the process is.
func (t *target) arrived(ctx context.Context, worker *reexec.Worker[struct{}, struct{}], types ...string) error {
	if _, err := worker.Call(ctx, struct{}{}); err != nil {
		return err
	}
	for _, kind := range types {
		child, err := namespace(worker.PID(), kind)
		if err != nil {
			return err
		}
		if its, err := namespace(t.pid, kind); err != nil || its != child {
			return fmt.Errorf("child is in %s, and the process in %s (%v)", child, its, err)
		}
		if kind == "mnt" {
			if err := t.sameRoot(worker.PID()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *target) sameRoot(child int) error {
	its, err := os.Stat(fmt.Sprintf("/proc/%d/root/", t.pid))
	if errors.Is(err, syscall.EACCES) {
		return nil // we may not look
	}
	if err != nil {
		return err
	}
	root, err := os.Stat(fmt.Sprintf("/proc/%d/root/", child))
	if err == nil && !os.SameFile(its, root) {
		err = errors.New("child has another root directory than the process")
	}
	return err
}
