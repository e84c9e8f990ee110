package inside_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"

	"example.com/gons/reexec/inside"
)

// Without options there is just another process that listens. With reexec.Target(pid, "user", "net") the server is at this
// address in the network namespace of a rootless container, and nowhere else.
func ExampleListen() {
	l, err := inside.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	response, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	fmt.Println(response.Status)
	// Output: 404 Not Found
}

// With reexec.Target(pid, "user", "net", "mnt") the client gets what there is in a rootless container, and the container
// resolves the names.
func ExampleDialer() {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	d, err := inside.NewDialer(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	client := http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	defer client.CloseIdleConnections()
	response, err := client.Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	fmt.Println(response.Status)
	// Output: 404 Not Found
}

// For a few dials now and then a child for each will do.
func ExampleDial() {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return inside.Dial(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	fmt.Println(response.Status)
	// Output: 404 Not Found
}
