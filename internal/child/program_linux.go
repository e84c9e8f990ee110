package child

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// executable is the running image, even if its file has been replaced or
// deleted (proc(5)).
func executable() (string, error) { return "/proc/self/exe", nil }

// takeName gives a child the name of its program for ps, top and pgrep, since
// the kernel has named it after the last part of /proc/self/exe. Init functions
// run on the main thread, whose name is that of the process.
func takeName() {
	if len(os.Args) == 0 {
		return
	}
	if name, err := unix.BytePtrFromString(filepath.Base(os.Args[0])); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0) // cut to 15 bytes
	}
}

// sealed are the sealed copies of programs, by their paths; usually of this one only.
var sealed = struct {
	sync.Mutex
	programs map[string]*os.File
}{programs: map[string]*os.File{}}

// seal makes a child run from a sealed copy of its program in memory, which cannot be
// written to (memfd_create(2), CVE-2019-5736). The child inherits the copy: the parent's number of it may be
// another file's in the child when that executes the program.
func seal(f *files, order *Orders) (err error) {
	sealed.Lock()
	defer sealed.Unlock()
	program := sealed.programs[f.cmd.Path]
	if program == nil {
		if program, err = sealedCopy(f.cmd.Path); err != nil {
			return fmt.Errorf("cannot make a sealed copy of the program: %w", err)
		}
		sealed.programs[f.cmd.Path] = program
	}
	order.Sealed = f.inherit(program)
	f.cmd.Path = "/proc/self/fd/" + strconv.Itoa(order.Sealed)
	return nil
}

const allSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// sealedCopy returns a sealed copy of a program.
func sealedCopy(path string) (*os.File, error) {
	program, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer program.Close()

	// A file that is open for writing cannot be executed (execve(2): ETXTBSY). A child that another goroutine forks
	// meanwhile would hold it open until it executes its own program.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("program", flags|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("program", flags)
	}
	if err == unix.EACCES {
		err = fmt.Errorf("%w (the system forbids programs in memory, see vm.memfd_noexec in sysctl(8))", err)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	memory := os.NewFile(uintptr(fd), "program")
	defer memory.Close()
	if _, err := io.Copy(memory, program); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(memory.Fd(), unix.F_ADD_SEALS, allSeals); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.Open("/proc/self/fd/" + strconv.Itoa(fd))
}
