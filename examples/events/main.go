//go:build linux

// Command events tells which network interfaces and addresses come and go where a
// process is, such as one in a container, as "ip monitor" does there:
//
//	go run ./examples/events -count 0 PID
//
// Without a PID it makes a process in new namespaces, and raises the loopback interface
// there; that needs no privileges.
package main

import (
	"context"
	"encoding/binary"
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

	"golang.org/x/sys/unix"

	"example.com/gons/reexec"
	"example.com/gons/reexec/examples/internal/loopback"
)

// An event is something that has happened to an interface.
type event struct{ What, Interface, Address string }

// follow listens to rtnetlink(7) in the network namespace of its child. The first
// event says that it misses nothing from now on.
var follow = reexec.RegisterStream("follow", func(ctx context.Context, _ struct{}, yield func(event) bool) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	socket := os.NewFile(uintptr(fd), "rtnetlink")
	defer socket.Close()
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return err
	}
	// At the end of ctx no event may come for a long time.
	defer context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Now()) })()
	buffer := make([]byte, 1<<16)
	for wanted := yield(event{What: "following"}); wanted; {
		n, err := socket.Read(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		messages, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			return err
		}
		for _, m := range messages {
			if e, ok := parse(m); ok && wanted {
				wanted = yield(e)
			}
		}
	}
	return nil
})

// parse understands messages about interfaces and their addresses, which begin alike.
func parse(m syscall.NetlinkMessage) (e event, ok bool) {
	switch m.Header.Type {
	case unix.RTM_NEWLINK:
		e.What = "interface"
	case unix.RTM_DELLINK:
		e.What = "interface is gone"
	case unix.RTM_NEWADDR:
		e.What = "address"
	case unix.RTM_DELADDR:
		e.What = "address is gone"
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil || e.What == "" {
		return e, false
	}
	if i, err := net.InterfaceByIndex(int(binary.NativeEndian.Uint32(m.Data[4:]))); err == nil {
		e.Interface = i.Name
	}
	for _, a := range attributes {
		if a.Attr.Type == unix.IFA_ADDRESS && strings.HasPrefix(e.What, "address") {
			e.Address = net.IP(a.Value).String()
		}
	}
	return e, true
}

// raise raises the loopback interface. Its child is the process in the new namespaces.
var raise = reexec.RegisterFunc("raise", func(struct{}) (struct{}, error) {
	return struct{}{}, loopback.Up()
})

func main() {
	log.SetFlags(0)
	reexec.CheckAction()
	count := flag.Int("count", 2, "how many events to wait for; 0: until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *count, strings.Join(flag.Args(), " ")); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, count int, process string) error {
	var room *reexec.Worker[struct{}, struct{}]
	pid, err := strconv.Atoi(process)
	if process == "" {
		if room, err = raise.Start(ctx, reexec.Unshare("user", "net")); err != nil {
			return err
		}
		defer room.Close()
		pid = room.PID()
	} else if err != nil {
		return errors.New("usage: events [-count N] [PID]")
	}
	events := 0
	for e, err := range follow.Call(ctx, struct{}{}, reexec.Target(pid, "user", "net")) {
		if err != nil {
			return err
		}
		fmt.Println(e.What, e.Interface, e.Address)
		if e.What == "following" {
			if room != nil {
				if _, err := room.Call(ctx, struct{}{}); err != nil {
					return err
				}
			}
			continue
		}
		if events++; events == count {
			break // ends the function there, too
		}
	}
	return nil
}
