package reexec_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"syscall"

	"example.com/gons/reexec"
)

var (
	hostname = reexec.RegisterFunc("hostname", func(struct{}) (string, error) { return os.Hostname() })
	getuid   = reexec.RegisterFunc("getuid", func(struct{}) (int, error) { return os.Getuid(), nil })
)

// A child that is root of a new user namespace. It prints "0 <nil>", unless the system
// forbids such namespaces.
func ExampleCmd() {
	uid, err := getuid.Call(context.Background(), struct{}{}, reexec.Cmd(func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
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
