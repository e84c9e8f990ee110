//go:build cgo

// Without cgo no namespace can be joined.

package reexec_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"syscall"

	"example.com/gons/reexec"
)

var (
	hostname = reexec.RegisterFunc("hostname", func(struct{}) (string, error) { return os.Hostname() })
	getuid   = reexec.RegisterFunc("getuid", func(struct{}) (int, error) { return os.Getuid(), nil })
	openFile = reexec.RegisterFunc("openFile", func(path string) (*os.File, error) { return os.Open(path) })
)

// A file that a child opens is read by its parent. It prints "The Linux kernel", or what
// else the file says.
func ExampleFunc() {
	f, err := openFile.Call(context.Background(), "/proc/version", reexec.Unshare("user", "mnt"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close() // it is the caller's now
	if _, err := io.Copy(os.Stdout, f); err != nil {
		log.Fatal(err)
	}
}

// The hostname of a container, whose init has the PID 4711. As an ordinary user join the
// user namespace first.
func ExampleTarget() {
	container := reexec.Target(4711, "user", "uts")
	name, err := hostname.Call(context.Background(), struct{}{}, container)
	fmt.Println(name, err)
}

// A child that is root of new namespaces, without privileges. It prints "0 <nil>", unless
// the system forbids such namespaces.
func ExampleUnshare() {
	uid, err := getuid.Call(context.Background(), struct{}{}, reexec.Unshare("user", "mnt"))
	fmt.Println(uid, err)
}

// Who tells a namespace that cannot be joined from other errors asks for a JoinError.
func ExampleJoinError() {
	_, err := hostname.Call(context.Background(), struct{}{}, reexec.Namespaces([]reexec.Namespace{
		{Type: "!net", Path: "/run/netns/nowhere"},
	}))
	var join *reexec.JoinError
	if errors.As(err, &join) {
		fmt.Println(join.Type, join.Path, errors.Is(err, fs.ErrNotExist))
	}
	// Output: net /run/netns/nowhere true
}

// A new user namespace with an ID mapping that Unshare does not offer: the caller is not
// root there, but user 1000. It prints "1000 <nil>", unless the system forbids such
// namespaces.
func ExampleCmd() {
	uid, err := getuid.Call(context.Background(), struct{}{}, reexec.Cmd(func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getuid(), Size: 1}},
		}
	}))
	fmt.Println(uid, err)
}

// The namespaces of one's own process need not be joined.
func ExampleNamespacesOf() {
	namespaces, err := reexec.NamespacesOf(os.Getpid(), "user", "uts")
	fmt.Println(namespaces, err)
	name, err := hostname.Call(context.Background(), struct{}{}, reexec.Namespaces(namespaces))
	own, _ := os.Hostname()
	fmt.Println(name == own, err)
	// Output:
	// [] <nil>
	// true <nil>
}

func ExampleNamespaceFile() {
	f, err := os.Open("/proc/self/ns/net")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close() // when all runs are over
	ns, err := reexec.NamespaceFile(f)
	fmt.Println(ns.Type, err)
	// Output: !net <nil>
}
