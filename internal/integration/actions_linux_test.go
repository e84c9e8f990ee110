package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/testsupport"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func init() {
	for name, action := range map[string]reexec.Action{
		"program's environment": func() {
			out, err := exec.Command("/bin/sh", "-c", "cat /proc/self/environ").CombinedOutput()
			answer(fmt.Sprint(string(out), err))
		},
		"name":  func() { comm, _ := os.ReadFile("/proc/self/comm"); answer(string(comm)) },
		"input": func() { path, _ := os.Readlink("/proc/self/fd/0"); answer(path) },
		"namespaces": func() {
			ids := map[string]string{}
			for _, ns := range specs.NamespaceFlags {
				ids[ns.Kind], _ = os.Readlink("/proc/self/ns/" + ns.Kind)
			}
			answer(ids)
		},
		"descriptors": func() {
			entries, _ := os.ReadDir("/proc/self/fd")
			var open []string
			for _, entry := range entries {
				target, _ := os.Readlink("/proc/self/fd/" + entry.Name())
				open = append(open, entry.Name()+" "+target)
			}
			answer(open)
		},
		"leave noisy descendant": func() {
			noise := exec.Command("yes")
			noise.Stdout, noise.Stderr = os.Stderr, os.Stderr
			if err := noise.Start(); err == nil {
				answer(noise.Process.Pid)
			}
		},
		"kill yourself": func() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM); select {} },
		"uid":           func() { answer(os.Geteuid()) },
		"write to 4":    func() { _, _ = os.NewFile(4, "4").WriteString("here") },
		"say your PID and hang": func() {
			// Here /proc is still that of the parent.
			pid, _ := os.Readlink("/proc/self")
			_, _ = os.NewFile(3, "3").WriteString(pid + "\n")
			select {}
		},
		"set hostname": func() {
			if err := syscall.Sethostname([]byte("neighbour")); err != nil {
				fmt.Fprint(os.Stderr, err)
			}
		},
	} {
		reexec.Register(name, action)
	}
}

var _ = Describe("re-execution on Linux", func() {
	It("starts the running image under the program's name", func() {
		Expect(run[string]("name")).To(BeEquivalentTo(must(os.ReadFile("/proc/self/comm"))))
	})

	It("tells of a signal that has ended the child", func() {
		err := reexec.RunReexecAction("kill yourself")
		Expect(err).To(MatchError("gons/reexec: ReexecAction.Run: child failed, reason: signal: terminated"))
		as[*exec.ExitError](asActionError(err))
	})

	It("panics in RunAction if the child could not join a namespace", func() {
		specs.NeedsCgo()
		expectPanic(`panic: .*package gons: invalid gons_net reference "/nowhere"`, "gons_reexec_action=answer", "gons_net=/nowhere")
	})
})

func init() {
	specs.Roles["impatient"] = func([]string) {
		defer func() { fmt.Println(recover()) }()
		_ = reexec.RunReexecAction("answer")
	}
}

// onlyPath is an environment in which there are variables, but none of gons'.
var onlyPath = And(ContainSubstring("PATH="), Not(ContainSubstring("gons_")))

var _ = Describe("a child that is started by hand", func() {
	type said struct {
		Stdout, Stderr string
		Status         int
	}

	byHand := func(variables ...string) said {
		GinkgoHelper()
		child := exec.Command("/proc/self/exe")
		child.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), variables...)
		var out, err bytes.Buffer
		child.Stdout, child.Stderr = &out, &err
		if failed := child.Run(); failed != nil {
			Expect(failed).To(BeAssignableToTypeOf(&exec.ExitError{}))
		}
		return said{out.String(), string(testsupport.Strip(err.Bytes())), child.ProcessState.ExitCode()} // with -cover
	}

	It("runs a registered action", func() {
		Expect(byHand("gons_reexec_action=answer")).To(Equal(said{Stdout: "\"done\"\n"}))
	})

	It("reports an action that it does not know", func() {
		Expect(byHand("gons_reexec_action=nobody")).To(Equal(said{"", `unregistered gons/reexec re-execution action "nobody"`, 1}))
	})

	It("reports a function, which has nowhere to answer", func() {
		Expect(byHand("gons_reexec_action=double")).To(Equal(said{"", `gons/reexec: function "double" must be called with Func.Call`, 1}))
	})

	It("reports a namespace that package gons cannot join", func() {
		specs.NeedsCgo()
		Expect(byHand("gons_reexec_action=answer", "gons_net=/nowhere", "gons_order=!net")).To(Equal(
			said{"", `package gons: invalid gons_net reference "/nowhere": No such file or directory`, 1}))
	})

	It("joins namespaces through package gons", func() {
		n := newNeighbour("user", "net")
		said := byHand("gons_reexec_action=namespaces", "gons_net="+n.Path("net"), "gons_user="+n.Path("user"))
		Expect(said).To(And(HaveField("Stdout", ContainSubstring(n.ID("net"))), HaveField("Stderr", ""), HaveField("Status", 0)))
	})

	It("sees none of gons' variables in its action", func() {
		Expect(byHand("gons_reexec_action=environment", "gons_anything=else").Stdout).To(onlyPath)
	})

	It("cannot run actions itself, not even before it is told to run one", func() {
		child := specs.Child("impatient")
		child.Env = append(child.Env, "gons_reexec_action=answer")
		Expect(child.Output()).To(ContainSubstring("tried to re-execute in already re-executing child process"))
	})

	DescribeTable("ends if it is to report to nobody", func(socket string) {
		specs.NeedsCgo()
		child := exec.Command("/proc/self/exe")
		child.Env = append(os.Environ(), "gons_reexec_action=answer", "gons_reexec_child=1",
			"gons_reexec_socket="+socket, "gons_net=/proc/self/ns/net", "gons_order=!net")
		child.ExtraFiles = []*os.File{opened(os.DevNull)}
		out, err := child.CombinedOutput()
		Expect(err).To(MatchError("exit status 1"))
		Expect(out).To(BeEmpty())
	},
		Entry("a file that is no socket", "3-3"), Entry("no file", "999-999"), Entry("stdin", "0-0"), Entry("one number", "3"),
		Entry("two numbers and more", "3-3-3"), Entry("the last file before the first", "4-3"),
		Entry("more files than there are", "3-99999999999999999999"), Entry("no number", "x"))
})

var _ = Describe("environment of a child on Linux", func() {
	It("has nothing of gons' variables that the parent has", func() {
		for _, kind := range []string{"net", "mnt", "pid", "order", "reexec_close", "anything"} {
			GinkgoT().Setenv("gons_"+kind, "/nowhere")
		}
		Expect(run[map[string]string]("namespaces")).To(HaveKeyWithValue("net", specs.NamespaceID("self", "net")))
	})

	It("shows none of gons' variables to the programs that the action starts", func() {
		Expect(run[string]("program's environment")).To(onlyPath)
	})
})

var _ = Describe("descriptors of a child", func() {
	It("are /dev/null for stdin if there is no parameter", func() {
		Expect(run[string]("input")).To(Equal("/dev/null"))
		Expect(run[string]("input", reexec.Param(nil))).To(Equal("/dev/null"))
	})

	It("does not listen for ever to descendants that write for ever", func() {
		var descendant int
		err := reexec.RunReexecAction("leave noisy descendant", reexec.Result(&descendant), reexec.GracePeriod(time.Second/2))
		_ = kill(descendant) // which has nobody to write to any more, and so has ended, or is about to
		Expect(err).To(MatchError(ContainSubstring("child failed with stderr message")))
	})

	It("passes on no descriptors but the pipes", func() {
		n := newNeighbour("user", "mnt", "pid", "net")
		for _, types := range [][]string{nil, {"!user", "!net"}, {"!user", "!pid", "!net"}} {
			Expect(run[[]string]("descriptors", n.in(types...))).To(HaveEach(Or(
				MatchRegexp(`^[012] `),
				MatchRegexp(`^\d+ (anon_inode:|/proc/\d+/fd$|/sys/fs/cgroup|$)`), // made by the child itself
				BeElementOf(inheritable()),
				MatchRegexp(`(gocoverdir|reexec-coverage)`), // when covered
			)))
		}
	})

	DescribeTable("returns an error if there are too few descriptors left", func(left int) {
		var old syscall.Rlimit
		Expect(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old)).To(Succeed())
		highest := 0
		for _, entry := range must(os.ReadDir("/proc/self/fd")) {
			if _, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
				highest = max(highest, atoi(entry.Name()))
			}
		}
		// Fill the gaps, so that the limit alone decides.
		last := 0
		for last <= highest {
			last = int(opened(os.DevNull).Fd())
		}
		limit := old
		limit.Cur = uint64(last + 1 + left)
		Expect(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)).To(Succeed())
		err := reexec.RunReexecAction("answer", reexec.Param(1))
		Expect(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)).To(Succeed())
		Expect(err).To(MatchError(HavePrefix("gons/reexec: ReexecAction.Run: cannot start child, reason: ")))
		Expect(err).To(MatchError(syscall.EMFILE))
	},
		Entry("for the first pipe", 0), Entry("for the second pipe", 2), Entry("for the third pipe", 4),
		Entry("for the child", 6))
})
