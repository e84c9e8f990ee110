package inside_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"example.com/gons/reexec"
	"example.com/gons/reexec/inside"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var ctx = context.Background()

// echo sends back what each connection sends, until the listener is closed.
func echo(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, struct{ io.Reader }{conn}) // or package net would keep pipes for splice(2)
		}()
	}
}

// expectEcho expects a connection to send back what is sent, and closes it.
func expectEcho(conn net.Conn) {
	GinkgoHelper()
	defer conn.Close()
	Expect(conn.SetDeadline(time.Now().Add(time.Minute))).To(Succeed())
	Expect(conn.Write([]byte("hello"))).To(Equal(5))
	reply := make([]byte, 5)
	Expect(io.ReadFull(conn, reply)).To(Equal(5))
	Expect(string(reply)).To(Equal("hello"))
}

var _ = Describe("inside", func() {
	DescribeTable("listens and dials", func(network, address string) {
		c := newContainer()
		l := c.listen(network, address)
		go echo(l)
		Expect(net.Dial(network, l.Addr().String())).Error().To(MatchError(syscall.ECONNREFUSED), "nobody listens here")
		conn := c.dial(network, l.Addr().String())
		Expect(conn.RemoteAddr()).To(Equal(l.Addr()))
		Expect(conn.LocalAddr().Network()).To(Equal(l.Addr().Network()))
		expectEcho(conn)
	},
		Entry("tcp", "tcp", "127.0.0.1:0"),
		Entry("tcp4", "tcp4", "127.0.0.1:0"),
		Entry("abstract unix", "unix", "@service"),
		Entry("abstract unixpacket", "unixpacket", "@service"),
	)

	It("listens and dials with IPv6", func() {
		c := newContainer()
		l, err := inside.Listen(ctx, "tcp6", "[::1]:0", c.in("net"))
		if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
			Skip("needs IPv6: " + err.Error())
		}
		defer specs.OK(l, err).Close()
		go echo(l)
		expectEcho(c.dial("tcp6", l.Addr().String()))
	})

	DescribeTable("exchanges packets", func(network, address string) {
		c := newContainer()
		server := specs.OK(inside.ListenPacket(ctx, network, address, c.in("net")))
		defer server.Close()
		client := c.dial(network, server.LocalAddr().String())
		defer client.Close()
		Expect(client.Write([]byte("hello"))).To(Equal(5))
		packet := make([]byte, 10)
		Expect(server.SetReadDeadline(time.Now().Add(time.Minute))).To(Succeed())
		n, from := specs.OK2(server.ReadFrom(packet))
		Expect(string(packet[:n])).To(Equal("hello"))
		if network == "unixgram" { // the client has no address
			return
		}
		Expect(from).To(Equal(client.LocalAddr()))
		Expect(server.WriteTo([]byte("you"), from)).To(Equal(3))
		Expect(client.SetReadDeadline(time.Now().Add(time.Minute))).To(Succeed())
		Expect(client.Read(packet)).To(Equal(3))
	},
		Entry("udp", "udp", "127.0.0.1:0"),
		Entry("abstract unixgram", "unixgram", "@service"),
	)

	DescribeTable("leaves the file of a Unix socket, there and here", func(network string) {
		c := newContainer()
		path := filepath.Join(c.Hall, "socket")
		Expect(os.WriteFile(path, nil, 0o644)).To(Succeed(), "here; the container does not see it")
		var server io.Closer
		expect := func(conn net.Conn) { Expect(conn.Close()).To(Succeed()) }
		if network == "unixgram" {
			server = specs.OK(inside.ListenPacket(ctx, network, path, c.in("mnt")))
		} else {
			l := specs.OK(inside.Listen(ctx, network, path, c.in("mnt")))
			go echo(l)
			server, expect = l, expectEcho
		}
		conn := specs.OK(inside.Dial(ctx, network, path, c.in("mnt")))
		Expect(conn.RemoteAddr().String()).To(Equal(path))
		expect(conn)
		Expect(server.Close()).To(Succeed())
		Expect(path).To(BeARegularFile())
		hall := specs.OK(inside.Open(ctx, c.Hall, c.in("mnt")))
		defer hall.Close()
		Expect(hall.Readdirnames(-1)).To(ContainElement("socket"))
		Expect(inside.Dial(ctx, network, path, c.in("mnt"))).Error().To(MatchError(syscall.ECONNREFUSED))
	},
		Entry("unix", "unix"),
		Entry("unixpacket", "unixpacket"),
		Entry("unixgram", "unixgram"),
	)

	It("resolves names where it dials", func() {
		c := newContainer()
		l := specs.OK(inside.Listen(ctx, "tcp", "service:0", c.in("net", "mnt")))
		defer l.Close()
		go echo(l)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		expectEcho(specs.OK(inside.Dial(ctx, "tcp", "service:"+port, c.in("net", "mnt"))))
		_, err := inside.Dial(ctx, "tcp", "nowhere.invalid:80", c.in("net", "mnt"))
		Expect(err).To(MatchError(HavePrefix("dial tcp: lookup nowhere.invalid")))
		Expect(err.Error()).NotTo(ContainSubstring("\n"))
	})

	It("tells what package net would", func() {
		c := newContainer()
		l := c.listen("tcp", "127.0.0.1:0")
		address := l.Addr().String()
		Expect(inside.Listen(ctx, "tcp", address, c.in("net"))).Error().To(And(
			MatchError(syscall.EADDRINUSE), MatchError("listen tcp "+address+": bind: address already in use")))
		Expect(l.Close()).To(Succeed())
		Expect(inside.Dial(ctx, "tcp", address, c.in("net"))).Error().To(And(
			MatchError(syscall.ECONNREFUSED), MatchError("dial tcp "+address+": connect: connection refused")))
		for _, err := range []error{
			second(inside.Listen(ctx, "gopher", address)), second(inside.ListenPacket(ctx, "gopher", address)),
			second(inside.Dial(ctx, "gopher", address)),
		} {
			Expect(err).To(MatchError(ContainSubstring("unknown network gopher")))
		}
	})

	It("tells of a timeout", func() {
		c := newContainer()
		address := busy(c)
		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		_, err := inside.Dial(short, "tcp", address, c.in("net"))
		var timeout net.Error // the child's may come first, and that need not be context.DeadlineExceeded
		Expect(errors.As(err, &timeout)).To(BeTrue())
		Expect(timeout.Timeout()).To(BeTrue())
	})

	It("goes on listening when the context has ended", func() {
		c := newContainer()
		making, cancel := context.WithCancel(ctx)
		l := specs.OK(inside.Listen(making, "tcp", "127.0.0.1:0", c.in("net")))
		defer l.Close()
		cancel()
		go echo(l)
		expectEcho(c.dial("tcp", l.Addr().String()))
	})

	It("says which namespace cannot be joined", func() {
		specs.NeedsCgo()
		nowhere := reexec.Namespaces([]reexec.Namespace{{Type: "!net", Path: "/run/netns/nowhere"}})
		for _, err := range []error{
			second(inside.NewDialer(ctx, nowhere)), second(inside.Dial(ctx, "tcp", "127.0.0.1:80", nowhere)),
			second(inside.Open(ctx, "/", nowhere)),
		} {
			Expect(errors.As(err, new(*reexec.JoinError))).To(BeTrue(), "%v", err)
		}
	})

	It("opens files, directories and devices", func() {
		c := newContainer()
		hosts := specs.OK(inside.Open(ctx, "/etc/hosts", c.in("mnt")))
		defer hosts.Close()
		Expect(io.ReadAll(hosts)).To(ContainSubstring("service"))
		Expect(hosts.Write([]byte("x"))).Error().To(HaveOccurred())

		hall := specs.OK(inside.Open(ctx, c.Hall, c.in("mnt")))
		defer hall.Close()
		root := specs.OK(os.OpenRoot(fmt.Sprint("/proc/self/fd/", hall.Fd())))
		defer root.Close()
		Expect(specs.OK(root.Stat("hosts")).Size()).To(BeNumerically(">", 0))

		zero := specs.OK(inside.Open(ctx, "/dev/zero", c.in("mnt")))
		defer zero.Close()
		Expect(zero.Read(make([]byte, 3))).To(Equal(3))

		Expect(inside.Open(ctx, filepath.Join(c.Hall, "nothing"), c.in("mnt"))).Error().To(MatchError(fs.ErrNotExist))
	})

	It("opens a FIFO once there is a writer, or until the context ends", func() {
		c := newContainer()
		fifo := fmt.Sprintf("/proc/%d/root%s/fifo", c.PID, c.Hall)
		Expect(unix.Mkfifo(fifo, 0o644)).To(Succeed())
		path := filepath.Join(c.Hall, "fifo")
		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		Expect(inside.Open(short, path, c.in("mnt"))).Error().To(MatchError(context.DeadlineExceeded))

		go func() {
			defer GinkgoRecover()
			w := specs.OK(os.OpenFile(fifo, os.O_WRONLY, 0)) // blocks until there is a reader
			defer w.Close()
			Expect(w.WriteString("hello")).To(Equal(5))
		}()
		f := specs.OK(inside.Open(ctx, path, c.in("mnt")))
		defer f.Close()
		Expect(io.ReadAll(f)).To(BeEquivalentTo("hello"))
	})
})
