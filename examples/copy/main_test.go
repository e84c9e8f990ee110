//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func build(t *testing.T) (program string) {
	program = filepath.Join(t.TempDir(), "copy")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// Where there is no terminal, there are plain lines.
func TestLines(t *testing.T) {
	out, err := exec.Command(build(t)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 10 || lines[9] != "/tmp/large: 67108864 of 67108864 bytes" || strings.Contains(string(out), "\r") {
		t.Errorf("unexpected output: %q", lines)
	}
}

// In a terminal there is a bar.
func TestBar(t *testing.T) {
	ours, theirs := terminal(t)
	cmd := exec.Command(build(t))
	cmd.Stderr = theirs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	shown, _ := io.ReadAll(ours) // its error is that the other end is closed
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, shown)
	}
	for _, part := range []string{"\r", "/tmp/large", "100%", "MB"} {
		if !strings.Contains(string(shown), part) {
			t.Errorf("%q is missing in %q", part, shown)
		}
	}
}

// A file of a process is copied as it is; its errors are those of the system.
func TestArguments(t *testing.T) {
	program, here := build(t), filepath.Join(t.TempDir(), "here")
	pid := fmt.Sprint(os.Getpid())
	if out, err := exec.Command(program, pid, "main_test.go", here).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want, _ := os.ReadFile("main_test.go")
	if copied, err := os.ReadFile(here); err != nil || string(copied) != string(want) {
		t.Errorf("%v: %d bytes instead of %d", err, len(copied), len(want))
	}
	out, err := exec.Command(program, pid, "/no such file", here).CombinedOutput()
	if err == nil || string(out) != "open /no such file: no such file or directory\n" {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := exec.Command(program, pid).CombinedOutput(); err == nil || !strings.Contains(string(out), "usage: copy ") {
		t.Errorf("%v: %s", err, out)
	}
}

// terminal makes a pseudo terminal.
func terminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	open := func(path string) *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Skip("needs pseudo terminals: ", err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	ours = open("/dev/ptmx")
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return ours, open(fmt.Sprintf("/dev/pts/%d", number))
}
