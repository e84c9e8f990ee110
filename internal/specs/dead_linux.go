package specs

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// A DeadFileSystem does not answer, as one of a server that cannot be reached. A process that asks it for something is not
// ended by the kernel before the file system ends, not even if it is killed: then it is in state D (ps(1)).
type DeadFileSystem struct {
	Path  string // of its root directory
	Asked func() // blocks until a process has asked it for another name
	End   func() // ends it, and all that waits for it
}

// NewDeadFileSystem mounts a file system that ends with the spec, or skips the spec where that cannot be. It is mounted in a
// mount namespace of its own; its path leads there.
func NewDeadFileSystem() *DeadFileSystem {
	ginkgo.GinkgoHelper()
	NeedsNamespaces("user", "mnt")
	folder := ginkgo.GinkgoT().TempDir()
	cmd := Child("dead file system", folder)
	kinds := []string{"user", "mnt"}
	if os.Geteuid() == 0 {
		kinds = kinds[1:]
	}
	cmd.SysProcAttr = attributes(kinds)
	stay, stdout := OK(cmd.StdinPipe()), OK(cmd.StdoutPipe())
	gomega.Expect(cmd.Start()).To(gomega.Succeed())
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	line := <-lines
	end := sync.OnceFunc(func() {
		_ = stay.Close()
		for range lines { // until nothing reads there any more
		}
		_ = cmd.Wait()
	})
	ginkgo.DeferCleanup(end)
	if line != "mounted" {
		ginkgo.Skip("needs FUSE: " + line)
	}
	return &DeadFileSystem{
		Path: filepath.Join(fmt.Sprintf("/proc/%d/root", cmd.Process.Pid), folder),
		Asked: func() {
			ginkgo.GinkgoHelper()
			gomega.Eventually(lines).Should(gomega.Receive(gomega.Equal("asked")))
		},
		End: end,
	}
}

func init() {
	Roles["dead file system"] = func(args []string) {
		if err := serveNothing(args[0]); err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}
}

// serveNothing mounts a file system and takes all requests, since the kernel can still take back what was not taken. It answers
// only the first one (fuse(4); https://docs.kernel.org/filesystems/fuse/fuse.html).
func serveNothing(folder string) error {
	device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0) // in the user namespace of the mount, which the kernel asks for
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d", device, os.Geteuid(), os.Getegid())
	if err := unix.Mount("dead", folder, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return os.NewSyscallError("mount", err)
	}
	request := make([]byte, 1<<20)
	if _, err := syscall.Read(device, request); err != nil {
		return os.NewSyscallError("read", err)
	}
	const (
		header, version = 16, 64 // sizes, in bytes: struct fuse_out_header, struct fuse_init_out
		interrupt       = 36     // the kernel asks so once a process is killed
	)
	answer := make([]byte, header+version)
	order := binary.NativeEndian
	order.PutUint32(answer, uint32(len(answer)))
	copy(answer[8:], request[8:16]) // the request's number
	copy(answer[header:], request[40:48])
	order.PutUint32(answer[header+12:], 1<<18) // FUSE_PARALLEL_DIROPS: or one request would wait for the other here
	order.PutUint32(answer[header+20:], 4096)  // max_write
	if _, err := syscall.Write(device, answer); err != nil {
		return os.NewSyscallError("write", err)
	}
	fmt.Println("mounted")
	go func() {
		for {
			switch _, err := syscall.Read(device, request); {
			case err == syscall.EINTR:
			case err != nil:
				return
			case order.Uint32(request[4:]) != interrupt:
				fmt.Println("asked")
			}
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}
