/*
Package inside listens, dials and opens files in other namespaces, such as those of a container, for a program that stays where it is.

It returns listeners, connections and files of this process, as if they had been made here. Only making them takes a child, so
main has to call [reexec.CheckAction] first; what they carry does not pass through that child. This web server runs outside, and
answers at port 8080 in a rootless container:

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

A [Dialer] dials for clients such as that of package net/http. This program gets a page from a web server in a container, each
second, until it is interrupted:

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

The options are those of package reexec; mostly [reexec.Target] says where. These namespaces are needed for:

  - network addresses, and abstract Unix sockets ("@name"): net
  - names of hosts: mnt, too, for /etc/hosts and /etc/resolv.conf; with net alone they are looked up in the files outside
  - files, and Unix sockets with a path: mnt
  - any of these in a rootless container: user, and first

The addresses of a socket are those in its namespaces. But the zone of a link-local address is named after the interface that has
the same number outside. A socket keeps its network namespace, also after the end of the container.

# Errors

An error of package net or os arrives as a [*reexec.FuncError] with the same text. [errors.Is] finds what it would find
in the child, such as [syscall.ECONNREFUSED], and it is a [net.Error], with the original's Timeout. Other types stay behind: only text
and Timeout of a [*net.DNSError] are left. All else, such as a namespace that cannot be joined, or the end of
a context or of the child, is a [*reexec.ActionError]. To recognize a timeout in all of these, ask for a net.Error with [errors.As].
All functions panic as [reexec.Func.Call] does, for example if main has not called CheckAction.

# Cost

On the loopback interface of a busy machine with two processors a dial takes 50 µs, 200 µs by a [Dialer], and 6 ms by [Dial].

# Containers that you do not trust

What a child finds in a container can make it wait, so give each call a context that ends. A dial that does not obey its context within
the grace period, for example if /etc/hosts is a FIFO, ends the child of a Dialer. What [Open] opens may be a FIFO or a device
instead of a file, so look at its mode before you read.
*/
package inside
