package inside_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"example.com/gons/reexec"
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
	worker, err := furnish.Start(context.Background(), reexec.Unshare(types...))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(worker.Close)
	c := container{worker.PID(), GinkgoT().TempDir(), func() { Expect(worker.Close()).To(Succeed()) }}
	Expect(worker.Call(context.Background(), c.Hall)).To(Equal(struct{}{}))
	return c
}

// in are the namespaces of the container.
func (c container) in(types ...string) reexec.ReexecActionOption {
	return reexec.Target(c.PID, append([]string{"user"}, types...)...)
}

var furnish = reexec.RegisterFunc("furnish", func(hall string) (none struct{}, err error) {
	if err := unix.Mount("tmpfs", hall, "tmpfs", 0, ""); err != nil {
		return none, err
	}
	for name, text := range map[string]string{
		"hosts":       "127.0.0.1 localhost service\n",
		"resolv.conf": "nameserver 127.0.0.1\noptions attempts:1\n",
	} {
		file := filepath.Join(hall, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return none, err
		}
		etc, err := filepath.EvalSymlinks(filepath.Join("/etc", name))
		if err != nil {
			return none, err
		}
		if err := unix.Mount(file, etc, "", unix.MS_BIND, ""); err != nil {
			return none, &os.PathError{Op: "mount", Path: etc, Err: err}
		}
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return none, err
	}
	defer syscall.Close(socket)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return none, err
	}
	lo.SetUint16(unix.IFF_UP)
	return none, unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, lo)
})
