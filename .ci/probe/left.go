package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/gons/reexec"
	"golang.org/x/sys/unix"
)

// warmUp opens what stays open: Go's poller, and the sealed copy of the program.
func warmUp() {
	_, _ = double.Call(context.Background(), 1, reexec.Sealed())
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
}

// openFiles are our descriptors, and what they refer to.
func openFiles() map[string]string {
	files := map[string]string{}
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil {
			files[filepath.Base(link)] = name
		}
	}
	return files
}

// nothingLeft looks for descriptors, zombies and processes that calls have left behind.
func nothingLeft(before map[string]string) (err error) {
	for range 50 { // an option holds its process until the garbage collector finds that the option is gone
		runtime.GC()
		if err = errors.Join(sameFiles(before), noChildren(), noOthers()); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func sameFiles(before map[string]string) error {
	after := openFiles()
	if !maps.Equal(before, after) {
		for number, name := range before {
			if after[number] == name {
				delete(after, number)
			}
		}
		return fmt.Errorf("new files are open: %v", after)
	}
	return nil
}

func noChildren() error {
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != unix.ECHILD {
		return fmt.Errorf("there are children left (%v)", err)
	}
	return nil
}

// noOthers looks for other processes that bear our name.
func noOthers() error {
	own, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		return err
	}
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		pid := filepath.Base(filepath.Dir(name))
		if comm, err := os.ReadFile(name); err == nil && slices.Equal(comm, own) && pid != strconv.Itoa(os.Getpid()) {
			return fmt.Errorf("process %s is left", pid)
		}
	}
	return nil
}

func shell(ctx context.Context, command string) error {
	output, err := exec.CommandContext(ctx, "sh", "-c", command).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", command, err, strings.TrimSpace(string(output)))
	}
	return err
}
