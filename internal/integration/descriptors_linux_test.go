package integration

import (
	"os"
	"syscall"
	"time"

	"example.com/gons/reexec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("descriptors of a child", func() {

	It("are /dev/null for stdin if there is no parameter", func() {
		var path string
		Expect(reexec.RunReexecAction("input", reexec.Result(&path))).To(Succeed())
		Expect(path).To(Equal("/dev/null"))
		Expect(reexec.RunReexecAction("input", reexec.Param(nil), reexec.Result(&path))).To(Succeed())
		Expect(path).To(Equal("/dev/null"))
	})

	It("does not listen for ever to descendants that write for ever", func() {
		var descendant int
		err := reexec.RunReexecAction("leave noisy descendant",
			reexec.Result(&descendant), reexec.GracePeriod(time.Second/2))
		_ = kill(descendant) // which has nobody to write to any more, and so has ended, or is about to
		Expect(err).To(MatchError(ContainSubstring("child failed with stderr message")))
	})

	It("passes on no descriptors but the pipes", func() {
		n := newNeighbour("user", "mnt", "pid", "net")
		for _, namespaces := range [][]reexec.Namespace{nil, n.namespaces("!user", "!net"), n.namespaces("!user", "!pid", "!net")} {
			var open []string
			Expect(reexec.RunReexecAction("descriptors",
				reexec.Namespaces(namespaces), reexec.Result(&open))).To(Succeed())
			Expect(open).To(HaveEach(Or(
				MatchRegexp(`^[012] `),
				MatchRegexp(`^\d+ (anon_inode:|/proc/\d+/fd$|/sys/fs/cgroup|$)`), // made by the child itself
				BeElementOf(inheritable()),
				MatchRegexp(`(gocoverdir|reexec-coverage)`), // when covered
			)))
		}
	})

	DescribeTable("returns an error if there are too few descriptors left",
		func(left int) {
			var old syscall.Rlimit
			Expect(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old)).To(Succeed())
			open, err := os.ReadDir("/proc/self/fd")
			Expect(err).NotTo(HaveOccurred())
			highest := 0
			for _, entry := range open {
				var fd int
				if _, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
					fd = atoi(entry.Name())
				}
				highest = max(highest, fd)
			}
			// Fill the gaps, so that the limit alone decides.
			var fill []*os.File
			defer func() {
				for _, f := range fill {
					_ = f.Close()
				}
			}()
			for {
				f, err := os.Open("/dev/null")
				Expect(err).NotTo(HaveOccurred())
				fill = append(fill, f)
				if int(f.Fd()) > highest {
					break
				}
			}
			limit := old
			limit.Cur = uint64(fill[len(fill)-1].Fd()) + 1 + uint64(left)
			Expect(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)).To(Succeed())
			err = reexec.RunReexecAction("answer", reexec.Param(1))
			Expect(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)).To(Succeed())
			Expect(err).To(MatchError(HavePrefix("gons/reexec: ReexecAction.Run: cannot start child, reason: ")))
			Expect(err).To(MatchError(syscall.EMFILE))
		},
		Entry("for the first pipe", 0),
		Entry("for the second pipe", 2),
		Entry("for the third pipe", 4),
		Entry("for the child", 6),
	)

})
