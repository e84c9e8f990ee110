package inside_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"example.com/gons/reexec"
	"example.com/gons/reexec/inside"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func second[T any](_ T, err error) error { return err }

// busy returns the address of a listener in a container, whose backlog is full, so that dials hang.
func busy(c container) string {
	GinkgoHelper()
	l := c.listen("tcp", "127.0.0.1:0")
	raw := specs.OK(l.(syscall.Conn).SyscallConn())
	Expect(raw.Control(func(fd uintptr) { Expect(unix.Listen(int(fd), 0)).To(Succeed()) })).To(Succeed())
	DeferCleanup(c.dial("tcp", l.Addr().String()).Close) // a backlog of 0 is one of 1
	return l.Addr().String()
}

// hanging is how many dials hang in a container: their sockets wait for an answer.
func hanging(c container) func() (int, error) {
	return func() (n int, err error) {
		table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", c.PID))
		for line := range strings.Lines(string(table)) {
			if fields := strings.Fields(line); fields[3] == "02" { // TCP_SYN_SENT
				n++
			}
		}
		return n, err
	}
}

// hang dials in a container until the context ends, and returns once so many dials hang. It returns their errors to come.
func hang(ctx context.Context, d *inside.Dialer, c container, n int) (errs chan error) {
	GinkgoHelper()
	address := busy(c)
	errs = make(chan error, n)
	for range n {
		go func() { errs <- second(d.DialContext(ctx, "tcp", address)) }()
	}
	Eventually(hanging(c)).Should(Equal(n))
	return errs
}

var _ = Describe("a dialer", func() {
	It("dials for http.Client what http.Server serves, and resolves names inside", func() {
		c := newContainer()
		l := c.listen("tcp", "127.0.0.1:80")
		server := http.Server{Handler: http.NotFoundHandler()}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		d := specs.OK(inside.NewDialer(ctx, c.in("net", "mnt")))
		defer d.Close()
		transport := &http.Transport{DialContext: d.DialContext}
		defer transport.CloseIdleConnections()
		for range 3 {
			response := specs.OK((&http.Client{Transport: transport}).Get("http://service/"))
			Expect(response.StatusCode).To(Equal(http.StatusNotFound))
			Expect(response.Body.Close()).To(Succeed())
			transport.CloseIdleConnections()
		}
		Expect(server.Close()).To(Succeed())
		Expect(<-served).To(Equal(http.ErrServerClosed))
	})

	It("dials beside hundreds of dials that hang, and after they were cancelled", func() {
		c := newContainer()
		address := c.serve()
		d := specs.OK(inside.NewDialer(ctx, c.in("net")))
		defer d.Close()
		cancelled, cancel := context.WithCancel(ctx)
		defer cancel()
		errs := hang(cancelled, d, c, 300)
		expectEcho(specs.OK(d.DialContext(ctx, "tcp", address)))
		cancel()
		for range cap(errs) {
			Eventually(errs).Should(Receive(MatchError(context.Canceled)))
		}
		expectEcho(specs.OK(d.DialContext(ctx, "tcp", address)))
		Eventually(hanging(c)).Should(BeZero())
	})

	It("can be limited", func() {
		c := newContainer()
		address := c.serve()
		d := specs.OK(inside.NewDialer(ctx, c.in("net"), reexec.Concurrency(2)))
		defer d.Close()
		cancelled, cancel := context.WithCancel(ctx)
		defer cancel()
		errs := hang(cancelled, d, c, 2)
		short, cancelShort := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancelShort()
		Expect(d.DialContext(short, "tcp", address)).Error().To(MatchError(reexec.ErrNotStarted))
		cancel()
		for range cap(errs) {
			Eventually(errs).Should(Receive(MatchError(context.Canceled)))
		}
	})

	It("is closed by many, also while it dials, and its connections stay", func() {
		c := newContainer()
		address := c.serve()
		d := specs.OK(inside.NewDialer(ctx, c.in("net"), reexec.GracePeriod(100*time.Millisecond)))
		defer d.Close()
		conn := specs.OK(d.DialContext(ctx, "tcp", address))
		hangs := hang(ctx, d, c, 1)
		var closing sync.WaitGroup
		for range 8 {
			closing.Go(func() {
				defer GinkgoRecover()
				Expect(d.Close()).To(Succeed())
			})
		}
		closing.Wait()
		Eventually(hangs).Should(Receive(MatchError(os.ErrClosed)))
		Expect(d.DialContext(ctx, "tcp", address)).Error().To(MatchError(os.ErrClosed))
		Expect(d.Close()).To(Succeed())
		expectEcho(conn)
	})

	It("keeps no descriptor beside that of a connection", func() {
		c := newContainer()
		address := c.serve()
		d := specs.OK(inside.NewDialer(ctx, c.in("net")))
		defer d.Close()
		defer debug.SetGCPercent(debug.SetGCPercent(-1)) // collecting closes what was forgotten
		expectNoMore := specs.NoMoreFiles()
		expectEcho(specs.OK(d.DialContext(ctx, "tcp", address)))
		expectNoMore()
	})

	It("tells later dials of the end of its child", func() {
		c := newContainer()
		address := c.serve()
		var child *exec.Cmd
		d := specs.OK(inside.NewDialer(ctx, c.in("net"), reexec.Cmd(func(cmd *exec.Cmd) { child = cmd })))
		defer d.Close()
		expectEcho(specs.OK(d.DialContext(ctx, "tcp", address)))
		Expect(syscall.Kill(child.Process.Pid, syscall.SIGKILL)).To(Succeed())
		Eventually(func() error { return second(d.DialContext(ctx, "tcp", address)) }).Should(And(
			MatchError(ContainSubstring("signal: killed")), MatchError(reexec.ErrNotStarted)))
		Expect(d.Close()).To(Succeed(), "a dial has told")
	})

	It("ends with the container whose PID namespace it is in", func() {
		c := newContainer("pid")
		d := specs.OK(inside.NewDialer(ctx, c.in("net", "pid")))
		defer d.Close()
		Expect(d.DialContext(ctx, "tcp", "127.0.0.1:1")).Error().To(MatchError(syscall.ECONNREFUSED))
		c.End()
		Eventually(func() error { return second(d.DialContext(ctx, "tcp", "127.0.0.1:1")) }).Should(MatchError(reexec.ErrNotStarted))
	})

	It("outlasts a container, and keeps its network namespace", func() {
		c := newContainer()
		address := c.serve()
		d := specs.OK(inside.NewDialer(ctx, c.in("net")))
		defer d.Close()
		c.End()
		expectEcho(specs.OK(d.DialContext(ctx, "tcp", address)))
	})

	It("ends with the context that has started it", func() {
		living, cancel := context.WithCancelCause(ctx)
		d := specs.OK(inside.NewDialer(living))
		defer d.Close()
		cancel(http.ErrServerClosed)
		Eventually(func() error { return second(d.DialContext(ctx, "tcp", "127.0.0.1:1")) }).Should(MatchError(http.ErrServerClosed))
	})
})
