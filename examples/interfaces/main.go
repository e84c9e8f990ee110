//go:build linux

// Command interfaces shows the network interfaces that it sees, and those that a
// process in another network namespace sees, such as one in a container:
//
//	go run ./examples/interfaces PID
//
// Without a PID it makes a process in new namespaces to visit. That needs no
// privileges: for an ordinary user it makes a user namespace, too.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"example.com/gons/reexec"
)

// interfaces tells the names and addresses of the network interfaces, in the namespaces
// of its child.
var interfaces = reexec.RegisterFunc("interfaces", func(struct{}) ([]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("%-8s %-5s %v", i.Name, upOrDown(i), addresses))
	}
	return lines, nil
})

func main() {
	log.SetFlags(0)
	reexec.CheckAction()
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(args []string) error {
	pid, end, err := target(args)
	if err != nil {
		return err
	}
	defer end()
	here, err := interfaces.Call(context.Background(), struct{}{})
	if err != nil {
		return err
	}
	there, err := interfaces.Call(context.Background(), struct{}{}, reexec.Target(pid, "user", "net"))
	if err != nil {
		return err
	}
	fmt.Printf("here:\n  %s\n", strings.Join(here, "\n  "))
	fmt.Printf("there, where process %d is:\n  %s\n", pid, strings.Join(there, "\n  "))
	return nil
}

// target returns the process to visit: the one that the arguments name, or else a new
// one, which lasts until end is called.
func target(args []string) (pid int, end func(), err error) {
	if len(args) > 0 {
		if pid, err = strconv.Atoi(args[0]); err != nil || len(args) > 1 {
			err = errors.New("usage: interfaces [PID]")
		}
		return pid, func() {}, err
	}
	cmd := exec.Command("cat") // waits for the end of its stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, nil, err
	}
	if err := cmd.Start(); err != nil {
		return 0, nil, fmt.Errorf("cannot make a process in new namespaces: %w", err)
	}
	return cmd.Process.Pid, func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}, nil
}

func upOrDown(i net.Interface) string {
	if i.Flags&net.FlagUp != 0 {
		return "up"
	}
	return "down"
}
