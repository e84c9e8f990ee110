package inside_test

import (
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"example.com/gons/reexec"
	"example.com/gons/reexec/inside"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// A container is a process in namespaces of its own, where the loopback interface is up, 127.0.0.1 is known as
// "service", too, and the folder Hall is a tmpfs.
type container struct {
	PID  int
	Hall string
	End  func()
}

// newContainer makes a container that lasts until the end of its spec, or skips the spec where that cannot be.
func newContainer(types ...string) container {
	GinkgoHelper()
	types = append([]string{"user", "mnt", "net"}, types...)
	specs.NeedsNamespaces(types...)
	worker := specs.OK(furnish.Start(ctx, reexec.Unshare(types...)))
	DeferCleanup(worker.Close)
	c := container{worker.PID(), GinkgoT().TempDir(), func() { Expect(worker.Close()).To(Succeed()) }}
	Expect(worker.Call(ctx, c.Hall)).To(Equal(struct{}{}))
	return c
}

// in are the namespaces of the container.
func (c container) in(types ...string) reexec.ReexecActionOption {
	return reexec.Target(c.PID, append([]string{"user"}, types...)...)
}

// listen listens in the container's network namespace until the end of the spec.
func (c container) listen(network, address string) net.Listener {
	GinkgoHelper()
	l := specs.OK(inside.Listen(ctx, network, address, c.in("net")))
	DeferCleanup(func() { _ = l.Close() })
	return l
}

// serve serves what sends back what it gets, until the end of the spec.
func (c container) serve() (address string) {
	GinkgoHelper()
	l := c.listen("tcp", "127.0.0.1:0")
	go echo(l)
	return l.Addr().String()
}

// dial dials in the container's network namespace.
func (c container) dial(network, address string) net.Conn {
	GinkgoHelper()
	return specs.OK(inside.Dial(ctx, network, address, c.in("net")))
}

var furnish = reexec.RegisterFunc("furnish", func(hall string) (none struct{}, err error) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	must(unix.Mount("tmpfs", hall, "tmpfs", 0, ""))
	for name, text := range map[string]string{
		"hosts":       "127.0.0.1 localhost service\n",
		"resolv.conf": "nameserver 127.0.0.1\noptions attempts:1\n",
	} {
		file := filepath.Join(hall, name)
		must(os.WriteFile(file, []byte(text), 0o644))
		etc, err := filepath.EvalSymlinks(filepath.Join("/etc", name))
		must(err)
		must(os.NewSyscallError("mount "+etc, unix.Mount(file, etc, "", unix.MS_BIND, "")))
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	defer syscall.Close(socket)
	lo, err := unix.NewIfreq("lo")
	must(err)
	lo.SetUint16(unix.IFF_UP)
	return none, unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, lo)
})
