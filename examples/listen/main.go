//go:build linux

// Command listen serves HTTP on the loopback interface of another network namespace,
// such as that of a container, while the server itself stays where it is:
//
//	go run ./examples/listen -address 127.0.0.1:8080 PID
//
// Only processes in there reach the server at this address. Without a PID it
// makes a process in new namespaces, and pays one visit from there; that needs no privileges.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"example.com/gons/reexec"
	"example.com/gons/reexec/examples/internal/loopback"
	"example.com/gons/reexec/inside"
)

func main() {
	log.SetFlags(0)
	reexec.CheckAction()
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *address, strings.Join(flag.Args(), " ")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address, process string) error {
	var visitor *reexec.Worker[string, string]
	pid, err := strconv.Atoi(process)
	if process == "" {
		if visitor, err = newVisitor(ctx); err != nil {
			return err
		}
		defer visitor.Close()
		pid = visitor.PID()
	} else if err != nil {
		return errors.New("usage: listen [-address ADDRESS] [PID]")
	}
	listener, err := inside.Listen(ctx, "tcp", address, reexec.Target(pid, "user", "net"))
	if err != nil {
		return err
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "hello from process %d", os.Getpid())
	})}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	url := "http://" + listener.Addr().String()
	fmt.Printf("process %d finds process %d at %s\n", pid, os.Getpid(), url)
	if visitor != nil {
		go func() {
			defer server.Close()
			page, err := visitor.Call(ctx, url)
			fmt.Printf("a visitor got %q, error: %v\n", page, err)
		}()
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// visit gets a page from inside the namespaces of its child. Without a URL it raises the loopback interface, which
// is down in a new network namespace.
var visit = reexec.RegisterFunc("visit", func(url string) (page string, err error) {
	if url == "" {
		return "", loopback.Up()
	}
	response, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
})

// newVisitor makes a process in a new network namespace.
func newVisitor(ctx context.Context) (*reexec.Worker[string, string], error) {
	visitor, err := visit.Start(ctx, reexec.Unshare("user", "net"))
	if err != nil {
		return nil, err
	}
	if _, err = visitor.Call(ctx, ""); err != nil {
		_ = visitor.Close()
	}
	return visitor, err
}
