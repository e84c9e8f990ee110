package inside_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
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

func itoa(n int) string { return strconv.Itoa(n) }

func fdOf(f *os.File) string { return itoa(int(f.Fd())) }

func second[T any](_ T, err error) error { return err }

// busyListener returns a listener in a container, whose backlog is full, so that dials hang.
func busyListener(c container) net.Listener {
	GinkgoHelper()
	ctx := context.Background()
	l := ok(inside.Listen(ctx, "tcp", "127.0.0.1:0", c.in("net")))
	DeferCleanup(l.Close)
	raw := ok(l.(syscall.Conn).SyscallConn())
	Expect(raw.Control(func(fd uintptr) { Expect(unix.Listen(int(fd), 0)).To(Succeed()) })).To(Succeed())
	conn := ok(inside.Dial(ctx, "tcp", l.Addr().String(), c.in("net"))) // a backlog of 0 is one of 1
	DeferCleanup(conn.Close)
	return l
}

// hanging is how many dials hang in a container: their sockets wait for an answer.
func hanging(c container) func() (int, error) {
	return func() (n int, err error) {
		table, err := os.ReadFile("/proc/" + itoa(c.PID) + "/net/tcp")
		for line := range strings.Lines(string(table)) {
			if fields := strings.Fields(line); fields[3] == "02" { // TCP_SYN_SENT
				n++
			}
		}
		return n, err
	}
}

var _ = Describe("a dialer", func() {

	ctx := context.Background()

	// newService listens in a container and answers.
	newService := func(c container) (address string) {
		GinkgoHelper()
		l := ok(inside.Listen(ctx, "tcp", "127.0.0.1:0", c.in("net")))
		DeferCleanup(l.Close)
		go echo(l)
		return l.Addr().String()
	}

	It("dials for http.Client, and resolves names inside", func() {
		c := newContainer()
		l := ok(inside.Listen(ctx, "tcp", "127.0.0.1:0", c.in("net")))
		server := http.Server{Handler: http.NotFoundHandler()}
		go func() { _ = server.Serve(l) }()
		defer server.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		d := ok(inside.NewDialer(ctx, c.in("net", "mnt")))
		defer d.Close()
		transport := &http.Transport{DialContext: d.DialContext}
		defer transport.CloseIdleConnections()
		for range 3 {
			response := ok((&http.Client{Transport: transport}).Get("http://service:" + port))
			Expect(response.StatusCode).To(Equal(http.StatusNotFound))
			Expect(response.Body.Close()).To(Succeed())
			transport.CloseIdleConnections()
		}
	})

	It("dials beside hundreds of dials that hang, and after they were cancelled", func() {
		c := newContainer()
		busy, address := busyListener(c).Addr().String(), newService(c)
		d := ok(inside.NewDialer(ctx, c.in("net")))
		defer d.Close()
		const many = 300
		cancelled, cancel := context.WithCancel(ctx)
		defer cancel()
		errs := make(chan error, many)
		for range many {
			go func() { errs <- second(d.DialContext(cancelled, "tcp", busy)) }()
		}
		Eventually(hanging(c)).Should(Equal(many))
		expectEcho(ok(d.DialContext(ctx, "tcp", address)))
		cancel()
		for range many {
			Eventually(errs).Should(Receive(MatchError(context.Canceled)))
		}
		expectEcho(ok(d.DialContext(ctx, "tcp", address)))
		Eventually(hanging(c)).Should(BeZero())
	})

	It("can be limited", func() {
		c := newContainer()
		busy, address := busyListener(c).Addr().String(), newService(c)
		d := ok(inside.NewDialer(ctx, c.in("net"), reexec.Concurrency(2)))
		defer d.Close()
		cancelled, cancel := context.WithCancel(ctx)
		defer cancel()
		errs := make(chan error, 2)
		for range 2 {
			go func() { errs <- second(d.DialContext(cancelled, "tcp", busy)) }()
		}
		Eventually(hanging(c)).Should(Equal(2))
		short, cancelShort := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancelShort()
		Expect(d.DialContext(short, "tcp", address)).Error().To(MatchError(reexec.ErrNotStarted))
		cancel()
		for range 2 {
			Eventually(errs).Should(Receive(MatchError(context.Canceled)))
		}
	})

	It("is closed by many, also while it dials, and its connections stay", func() {
		c := newContainer()
		busy, address := busyListener(c).Addr().String(), newService(c)
		d := ok(inside.NewDialer(ctx, c.in("net"), reexec.GracePeriod(100*time.Millisecond)))
		defer d.Close()
		conn := ok(d.DialContext(ctx, "tcp", address))
		hangs := make(chan error, 1)
		go func() { hangs <- second(d.DialContext(ctx, "tcp", busy)) }()
		Eventually(hanging(c)).Should(Equal(1))
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
		address := newService(c)
		d := ok(inside.NewDialer(ctx, c.in("net")))
		defer d.Close()
		defer debug.SetGCPercent(debug.SetGCPercent(-1)) // collecting closes what was forgotten
		expectNoMore := specs.NoMoreFiles()
		expectEcho(ok(d.DialContext(ctx, "tcp", address)))
		expectNoMore()
	})

	It("tells later dials of the end of its child", func() {
		c := newContainer()
		address := newService(c)
		var child *exec.Cmd
		d := ok(inside.NewDialer(ctx, c.in("net"), reexec.Cmd(func(cmd *exec.Cmd) { child = cmd })))
		defer d.Close()
		expectEcho(ok(d.DialContext(ctx, "tcp", address)))
		Expect(syscall.Kill(child.Process.Pid, syscall.SIGKILL)).To(Succeed())
		Eventually(func() error { return second(d.DialContext(ctx, "tcp", address)) }).Should(And(
			MatchError(ContainSubstring("signal: killed")), MatchError(reexec.ErrNotStarted)))
		Expect(d.Close()).To(Succeed(), "a dial has told")
	})

	It("ends with the container whose PID namespace it is in", func() {
		c := newContainer("pid")
		d := ok(inside.NewDialer(ctx, c.in("net", "pid")))
		defer d.Close()
		Expect(d.DialContext(ctx, "tcp", "127.0.0.1:1")).Error().To(MatchError(syscall.ECONNREFUSED))
		c.End()
		Eventually(func() error { return second(d.DialContext(ctx, "tcp", "127.0.0.1:1")) }).Should(MatchError(reexec.ErrNotStarted))
	})

	It("outlasts a container, and keeps its network namespace", func() {
		c := newContainer()
		address := newService(c)
		d := ok(inside.NewDialer(ctx, c.in("net")))
		defer d.Close()
		c.End()
		expectEcho(ok(d.DialContext(ctx, "tcp", address)))
	})

	It("ends with the context that has started it", func() {
		living, cancel := context.WithCancelCause(ctx)
		d := ok(inside.NewDialer(living))
		defer d.Close()
		cancel(http.ErrServerClosed)
		Eventually(func() error { return second(d.DialContext(ctx, "tcp", "127.0.0.1:1")) }).Should(MatchError(http.ErrServerClosed))
	})

})
