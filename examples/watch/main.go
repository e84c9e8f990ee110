//go:build linux

// Command watch tells, every second, whether a service answers where a process is,
// such as one in a container, and how fast, until it is interrupted:
//
//	go run ./examples/watch -dial 127.0.0.1:80 -pause 5s PID
//
// One child in the network namespace of the process dials each time. Flags come before the
// PID. Without a PID it makes a process in new namespaces, with a service that answers; that needs
// no privileges.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/examples/internal/loopback"
	"example.com/gons/reexec/inside"
)

func main() {
	log.SetFlags(0)
	reexec.CheckAction()
	address := flag.String("dial", "127.0.0.1:80", "address of the service")
	rounds := flag.Int("rounds", -1, "number of rounds; without limit if negative")
	pause := flag.Duration("pause", time.Second, "time between two rounds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, strings.Join(flag.Args(), " "), *address, *rounds, *pause); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, process, address string, rounds int, pause time.Duration) error {
	pid, err := strconv.Atoi(process)
	if process == "" {
		var end func()
		if pid, end, err = startService(ctx, address); err != nil {
			return err
		}
		defer end()
	} else if err != nil {
		return errors.New("usage: watch [-dial ADDRESS] [-rounds N] [-pause DURATION] [PID], with flags before the PID")
	}
	dialer, err := inside.NewDialer(ctx, reexec.Target(pid, "user", "net"))
	if err != nil {
		return err
	}
	defer dialer.Close()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for ; rounds != 0; rounds-- {
		start := time.Now()
		conn, err := dialer.DialContext(ctx, "tcp", address)
		switch answer := (*reexec.FuncError)(nil); {
		case errors.As(err, &answer): // the service does not answer
			fmt.Println(answer)
		case err != nil: // the dialer does not
			return err
		default:
			fmt.Printf("%s answers after %v\n", address, time.Since(start))
			_ = conn.Close()
		}
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

// service is a service in new namespaces, where it has to raise the loopback interface first.
var service = reexec.RegisterFunc("service", func(address string) (struct{}, error) {
	if err := loopback.Up(); err != nil {
		return struct{}{}, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return struct{}{}, err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return struct{}{}, nil // the child, and so the service, lasts until the worker is closed
})

// startService makes a process in new namespaces that listens.
func startService(ctx context.Context, address string) (pid int, end func(), err error) {
	worker, err := service.Start(ctx, reexec.Unshare("user", "net"))
	if err != nil {
		return 0, nil, err
	}
	if _, err := worker.Call(ctx, address); err != nil {
		_ = worker.Close()
		return 0, nil, err
	}
	return worker.PID(), func() { _ = worker.Close() }, nil
}
