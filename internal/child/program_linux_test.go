package child

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/gons/reexec/internal/specs"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var _ = Describe("a sealed copy of the program", func() {
	BeforeEach(func() {
		DeferCleanup(func() {
			for path, program := range sealed.programs {
				Expect(program.Close()).To(Succeed())
				delete(sealed.programs, path)
			}
		})
	})

	It("is what children run, from the first moment on, and only one", func() {
		program, err := sealedCopy("/proc/self/exe")
		if err != nil && strings.Contains(err.Error(), "vm.memfd_noexec") {
			Skip(err.Error())
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(program.Close()).To(Succeed())

		// Children that have not executed their program yet must not hold the copy open for writing.
		var done atomic.Bool
		var all, others sync.WaitGroup
		others.Go(func() {
			for !done.Load() {
				_ = exec.Command("/bin/true").Run()
			}
		})
		for range 12 {
			all.Go(func() {
				defer GinkgoRecover()
				p, _ := specs.OK2(Start(context.Background(), Spec{Sealed: true, Env: []string{specs.Role("sealed")}, Grace: time.Minute}))
				defer p.Close()
				said, outcome := told(p)
				Expect(said).To(Equal("/memfd:program (deleted) true true\n"))
				Expect(outcome.Status).NotTo(HaveOccurred())
			})
		}
		all.Wait()
		done.Store(true)
		others.Wait()
	})

	It("is the one of the program that the child is to run", func() {
		for _, program := range []string{"/bin/sh", "/bin/cat", "/bin/sh"} {
			p := start(Spec{Sealed: true, Tune: tune(func(cmd *exec.Cmd) {
				cmd.Path, cmd.Args = program, []string{program, "/proc/self/comm"}
				if program == "/bin/sh" {
					cmd.Args = []string{"sh", "-c", "echo shell"}
				}
			})}, "")
			said, outcome := told(p)
			Expect(outcome.Status).NotTo(HaveOccurred())
			Expect(said == "shell\n").To(Equal(program == "/bin/sh"), said)
		}
	})
})

func init() {
	specs.Roles["sealed"] = func([]string) {
		self, _ := os.Readlink("/proc/self/exe")
		_, err := os.OpenFile("/proc/self/exe", os.O_WRONLY, 0)
		seals, _ := unix.FcntlInt(func() uintptr { f, _ := os.Open("/proc/self/exe"); return f.Fd() }(), unix.F_GET_SEALS, 0)
		fmt.Println(self, err != nil, seals == allSeals)
	}
}
