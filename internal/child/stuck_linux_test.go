package child

import (
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/sys"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("a child that does not end", func() {
	// stuck starts a child that waits for a file system that does not answer.
	stuck := func(spec Spec, dead *specs.DeadFileSystem) *Child {
		GinkgoHelper()
		p := start(spec, "echo 1 >&2; exec cat "+dead.Path+"/$$")
		dead.Asked()
		return p
	}

	It("is given up a moment after it was killed, by all that wait", func() {
		dead := specs.NewDeadFileSystem()
		var children []*Child
		var all sync.WaitGroup
		begin := time.Now()
		for _, way := range []struct {
			leave  func(p *Child)
			wait   func(p *Child) Outcome
			killed error
		}{
			{func(p *Child) { p.Leave(errEnough) }, (*Child).Wait, errEnough},
			{func(p *Child) { p.LeaveAfterGrace(errEnough) }, (*Child).Died, errEnough},
			{func(p *Child) { p.Linger() }, (*Child).Wait, ErrLingers},
			{(*Child).Close, (*Child).Wait, os.ErrClosed},
		} {
			p := stuck(Spec{Grace: short, Function: true}, dead)
			children = append(children, p)
			all.Go(func() {
				defer GinkgoRecover()
				way.leave(p)
				outcome := way.wait(p)
				Expect(outcome.Status).To(Equal(ErrStuck))
				Expect(outcome.State).To(BeNil())
				Expect(outcome.Killed).To(Equal(way.killed))
				Expect(outcome.Stderr).To(Equal("1\n"))
				p.Close()
			})
		}
		all.Wait()
		Expect(time.Since(begin)).To(And(BeNumerically(">=", stuckAfter), BeNumerically("<", 30*time.Second)))
		for _, p := range children {
			Expect(p.Exited()).NotTo(BeClosed())
		}
		dead.End()
		for _, p := range children {
			Eventually(p.Exited()).Should(BeClosed())
			outcome := p.Wait()
			Expect(sys.EndedBy(outcome.State)).To(Equal(syscall.SIGKILL))
			Expect(errors.As(outcome.Status, new(*exec.ExitError))).To(BeTrue())
		}
	})

	It("is waited for if it ends in time after all", func() {
		dead := specs.NewDeadFileSystem()
		p := stuck(Spec{}, dead)
		p.Leave(errEnough)
		dead.End()
		Expect(sys.EndedBy(p.Wait().State)).To(Equal(syscall.SIGKILL))
	})
})
