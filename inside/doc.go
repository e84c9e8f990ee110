/*
Package inside listens, dials and opens files in other namespaces, such as those of a container, for a program that stays where it is.

What it returns are listeners, connections and files of this process, as if they had been made here: no byte that they carry passes
through a child. Only making them takes one, and [reexec.CheckAction] first in main. This web server is reached at port 8080 in a
rootless container, and runs outside:

	package main

	import (
		"context"
		"flag"
		"fmt"
		"log"
		"net/http"
		"strconv"

		"example.com/gons/reexec"
		"example.com/gons/reexec/inside"
	)

	func main() {
		reexec.CheckAction()
		flag.Parse()
		pid, err := strconv.Atoi(flag.Arg(0))
		if err != nil {
			log.Fatal("usage: serve PID")
		}
		l, err := inside.Listen(context.Background(), "tcp", ":8080", reexec.Target(pid, "user", "net"))
		if err != nil {
			log.Fatal(err)
		}
		log.Fatal(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, "Hello from outside")
		})))
	}

A [Dialer] dials for a client of the standard library. This program gets a page from a web server in a container, each second, until
it is interrupted:

	package main

	import (
		"context"
		"flag"
		"log"
		"net/http"
		"os"
		"os/signal"
		"strconv"
		"time"

		"example.com/gons/reexec"
		"example.com/gons/reexec/inside"
	)

	func main() {
		reexec.CheckAction()
		flag.Parse()
		pid, err := strconv.Atoi(flag.Arg(0))
		if err != nil {
			log.Fatal("usage: get PID")
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		d, err := inside.NewDialer(ctx, reexec.Target(pid, "user", "net", "mnt"))
		if err != nil {
			log.Fatal(err)
		}
		defer d.Close()
		client := http.Client{
			Transport: &http.Transport{DialContext: d.DialContext},
			Timeout:   time.Second,
		}
		for ctx.Err() == nil {
			response, err := client.Get("http://localhost:8080")
			if err != nil {
				log.Print(err)
			} else {
				log.Print(response.Status)
				response.Body.Close()
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}

# Namespaces

The options are those of package reexec; mostly [reexec.Target] says where. It depends on what is asked for which namespaces count:

  - addresses of networks, and abstract Unix sockets ("@name"): net
  - names of hosts: mnt, too, for /etc/hosts and /etc/resolv.conf; with net alone they are looked up in the files of this side
  - files, and Unix sockets with a path: mnt
  - any of these in a rootless container: user, and first

Addresses are those of the socket, in its namespaces. The zone of a link-local address, though, is named after the interface that has
the same number on this side. A socket keeps its network namespace, after the end of the container, too.

# Errors

What package net or os says in the child arrives as a [*reexec.FuncError] with the same text: [errors.Is] finds what it would find
there, such as [syscall.ECONNREFUSED], and it is a [net.Error], whose Timeout is the original's. Other types stay behind: of a
[*net.DNSError] no more than text and Timeout is left. All else, such as a namespace that cannot be joined, the end of
a context or of the child, is a [*reexec.ActionError]. To recognize a timeout in all of these, ask for a net.Error with [errors.As].
All functions panic as [reexec.Func.Call] does, for example if CheckAction has not been called.

# Cost

On the loopback interface of a busy machine with two processors a dial takes 50 µs, 200 µs by a [Dialer], and 6 ms by [Dial].

# Containers that you do not trust

What a child finds in a container can make it wait, so give each call a context that ends. A dial that does not obey its context within
the grace period, as where /etc/hosts is a FIFO, takes the child of a Dialer with it.
What [Open] opens may be a FIFO or a device where a file should be, so look at its mode before you read.
*/
package inside
