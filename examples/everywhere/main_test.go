//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// Each network namespace has one line, also where there are more than run at a time.
func TestEverywhere(t *testing.T) {
	program := filepath.Join(t.TempDir(), "everywhere")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var pids []int
	for range 10 {
		pids = append(pids, neighbour(t))
	}
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		line := regexp.MustCompile(fmt.Sprintf(`(?m)^ *%d cat +$`, pid)) // no addresses: lo is down
		if !line.Match(out) {
			t.Errorf("process %d is missing in\n%s", pid, out)
		}
	}
	if !regexp.MustCompile(` 127\.0\.0\.1/8`).Match(out) {
		t.Errorf("this namespace is missing in\n%s", out)
	}
}

// neighbour makes a process in a network namespace of its own.
func neighbour(t *testing.T) (pid int) {
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}
