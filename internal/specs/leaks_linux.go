//go:build !arm

package specs

import (
	"runtime"

	"github.com/onsi/gomega"
	"github.com/thediveo/fdooze"
	"golang.org/x/sys/unix"
)

// noMore remembers which files are open. What it returns expects no more to be open, and no
// children.
func noMore() (expect func()) {
	expectNoMoreFiles := NoMoreFiles()
	return func() {
		expectNoMoreFiles()
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		gomega.Expect(err).To(gomega.Equal(unix.ECHILD), "all children must have been reaped")
	}
}

// NoMoreFiles remembers which files are open. What it returns expects no more to be open.
func NoMoreFiles() (expect func()) {
	before := fdooze.Filedescriptors()
	return func() {
		gomega.Eventually(func() []fdooze.FileDescriptor {
			defer runtime.GC() // for what is open until the garbage collector finds that nothing uses it any more
			return fdooze.Filedescriptors()
		}).ShouldNot(fdooze.HaveLeakedFds(before))
	}
}
