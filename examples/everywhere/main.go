//go:build linux

// Command everywhere runs a function in every network namespace of the machine, eight at a
// time, and prints a line for each:
//
//	go -C examples/everywhere run .
//
// For an ordinary user it finds only those of this user's processes. It is a module of its own, so that
// only it requires errgroup.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"maps"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"example.com/gons/reexec"
)

// addresses returns the addresses in the network namespace of its child.
var addresses = reexec.RegisterFunc("addresses", func(struct{}) (all []string, err error) {
	found, err := net.InterfaceAddrs()
	for _, a := range found {
		all = append(all, a.String())
	}
	return all, err
})

func main() {
	log.SetFlags(0)
	reexec.CheckAction()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	processes := namespaces()
	lines := make([]string, len(processes))
	var done atomic.Int32
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, pid := range processes {
		group.Go(func() error {
			all, err := addresses.Call(ctx, struct{}{}, reexec.Target(pid, types()...))
			if ctx.Err() != nil {
				return err
			}
			lines[i] = fmt.Sprintf("%7d %-15s %s", pid, command(pid), strings.Join(all, " "))
			if err != nil { // for example since the process has just ended
				lines[i] += err.Error()
			}
			progress("%d of %d namespaces", done.Add(1), len(processes))
			return nil
		})
	}
	err := group.Wait()
	progress("")
	if err == nil {
		fmt.Println(strings.Join(lines, "\n"))
	}
	return err
}

// namespaces returns a process of each network namespace, the one with the lowest PID.
func namespaces() (pids []int) {
	found := map[string]int{}
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, link := range links {
		pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
		namespace, err := os.Readlink(link)
		if err != nil {
			continue // another user's process, or one that has ended
		}
		if first, ok := found[namespace]; !ok || pid < first {
			found[namespace] = pid
		}
	}
	return slices.SortedFunc(maps.Values(found), cmp.Compare[int])
}

// types returns the types of the namespaces to join: root can join a network namespace without its user namespace.
func types() []string {
	if os.Geteuid() == 0 {
		return []string{"net"}
	}
	return []string{"user", "net"}
}

// command returns the name of a process.
func command(pid int) string {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(name))
}

// progress shows a text in place of the last one, if stderr is a terminal.
func progress(text string, args ...any) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\033[K"+text, args...)
	}
}
