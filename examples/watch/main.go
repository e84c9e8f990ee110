//go:build linux

// Command watch shows, every second, how many bytes have come in and gone out
// through the network interfaces that a process sees, such as one in a container,
// until it is interrupted:
//
//	go run ./examples/watch PID
//
// It asks one and the same child in the network namespace of the process. Without
// a PID it watches its own interfaces; -rounds ends it after so many rounds.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec"
)

// A counter tells the bytes that an interface has seen.
type counter struct {
	Interface string
	In, Out   uint64
}

// counters reads the counters of all interfaces, see proc_net(5). As the table is
// that of the reading thread, it is read anew each time.
var counters = reexec.RegisterFunc("counters", func(struct{}) ([]counter, error) {
	table, err := os.Open("/proc/thread-self/net/dev")
	if err != nil {
		return nil, err
	}
	defer table.Close()
	var all []counter
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		name, numbers, ok := strings.Cut(lines.Text(), ":")
		fields := strings.Fields(numbers)
		if !ok || len(fields) < 9 {
			continue // headline
		}
		c := counter{Interface: strings.TrimSpace(name)}
		c.In, err = strconv.ParseUint(fields[0], 10, 64)
		if err != nil {
			return nil, err
		}
		c.Out, err = strconv.ParseUint(fields[8], 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, lines.Err()
})

func main() {
	log.SetFlags(0)
	reexec.CheckAction()
	rounds := flag.Int("rounds", -1, "number of rounds; without limit if negative")
	pause := flag.Duration("pause", time.Second, "time between two rounds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, flag.Arg(0), *rounds, *pause); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, process string, rounds int, pause time.Duration) error {
	pid := os.Getpid()
	if process != "" {
		var err error
		if pid, err = strconv.Atoi(process); err != nil {
			return err
		}
	}
	worker, err := counters.Start(ctx, reexec.Target(pid, "user", "net"), reexec.Cmd(alone))
	if err != nil {
		return err
	}
	defer worker.Close()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for ; rounds != 0; rounds-- {
		all, err := worker.Call(ctx, struct{}{})
		if err != nil {
			return err
		}
		for _, c := range all {
			fmt.Printf("%-8s in %12d  out %12d\n", c.Interface, c.In, c.Out)
		}
		fmt.Println()
		if rounds == 1 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// alone keeps the terminal's interrupt from the child: it is for the parent, who
// then ends the child.
func alone(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
