package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// The actions that the specs run, by name. Each does just one thing.
func init() {
	for name, action := range map[string]reexec.Action{
		"silent":  func() {},
		"answer":  func() { answer("done") },
		"null":    func() { answer(nil) },
		"echo":    func() { answer(param()) },
		"garbage": func() { fmt.Print("done\n") },
		"more":    func() { fmt.Print(`"done" and more`) },
		"noise": func() {
			for range 1 << 10 {
				fmt.Print(strings.Repeat("noise", 1<<10))
			}
		},
		"fail": func() {
			answer("done")
			fmt.Fprint(os.Stderr, "failed")
		},
		"status":            func() { os.Exit(3) },
		"status and stderr": func() { fmt.Fprint(os.Stderr, "failed"); os.Exit(3) },
		"status and answer": func() { answer("done"); os.Exit(3) },
		"big failure":       func() { fmt.Fprint(os.Stderr, bigFailure); os.Exit(1) },
		"huge failure": func() {
			fmt.Fprint(os.Stderr, "BEGIN")
			for range 16 {
				fmt.Fprint(os.Stderr, strings.Repeat("x", 1<<20))
			}
			fmt.Fprint(os.Stderr, "END")
		},
		"panic":            func() { panic("at the disco") },
		"read all":         func() { b, _ := io.ReadAll(os.Stdin); answer(len(b)) },
		"write, then read": func() { answer(strings.Repeat("x", 1<<20)); _, _ = io.Copy(io.Discard, os.Stdin) },
		"linger":           func() { answer("done"); time.Sleep(time.Hour) },
		"linger, garbage":  func() { fmt.Println("garbage"); time.Sleep(time.Hour) },
		"hang":             func() { fmt.Fprint(os.Stderr, "hanging"); time.Sleep(time.Hour) },
		"environment":      func() { answer(os.Environ()) },
		"args":             func() { answer(os.Args) },
		"reexec":           func() { _ = reexec.RunReexecAction("silent") },
		"leave descendant": func() { answer(leaveDescendant()) },
		"leave descendant, hang": func() {
			fmt.Fprint(os.Stderr, leaveDescendant())
			time.Sleep(time.Hour) // a deadlock, without cgo, would be seen
		},
		"leave descendant, end": func() { fmt.Fprint(os.Stderr, leaveDescendant()) },
		"answer, then fail": func() {
			answer("done")
			_ = os.Stdout.Close()
			time.Sleep(10 * time.Millisecond) // the parent must have seen the answer
			os.Exit(3)
		},
		"cwd":            func() { cwd, _ := os.Getwd(); answer(cwd) },
		"take your time": func() { runtime.GC(); time.Sleep(5 * time.Millisecond); answer("done") },
		"touch":          func() { _ = os.WriteFile(param().(string), nil, 0o600) },
	} {
		reexec.Register(name, action)
	}
}

func init() { specs.Roles["descendant"] = func([]string) { time.Sleep(time.Hour) } }

// leaveDescendant starts a process that keeps stdout and stderr, and does nothing, and returns its PID.
func leaveDescendant() int {
	descendant := specs.Child("descendant")
	descendant.Stdout, descendant.Stderr = os.Stdout, os.Stderr
	if err := descendant.Start(); err != nil {
		fmt.Fprint(os.Stderr, err)
		return 0
	}
	return descendant.Process.Pid
}

// bigFailure is a message of 3,000 bytes.
var bigFailure = strings.Repeat("failed\n", 3000/7) + "end\n"

func answer(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		fmt.Fprint(os.Stderr, err)
	}
}

func param() (value any) {
	if err := json.NewDecoder(os.Stdin).Decode(&value); err != nil {
		fmt.Fprint(os.Stderr, err)
	}
	return value
}

var _ = Describe("re-execution", func() {
	It("runs an action and decodes its answer", func() { Expect(run[string]("answer")).To(Equal("done")) })

	It("passes a parameter", func() {
		Expect(run[[]any]("echo", reexec.Param([]any{"a", 1.5, nil}))).To(Equal([]any{"a", 1.5, nil}))
	})

	It("passes environment variables, and they win over inherited ones", func() {
		GinkgoT().Setenv("reexec_test", "inherited")
		env := must(run[[]string]("environment", reexec.Environment([]string{"reexec_test=given"})))
		Expect(env).To(ContainElement("reexec_test=given"))
		Expect(env).NotTo(ContainElement("reexec_test=inherited"))
	})

	It("keeps the deprecated functions", func() {
		var answer string
		//lint:ignore SA1019 what is deprecated works still
		Expect(reexec.ForkReexec("answer", nil, &answer)).To(Succeed())
		Expect(answer).To(Equal("done"))
		var env []string
		//lint:ignore SA1019 what is deprecated works still
		Expect(reexec.ForkReexecEnv("environment", []reexec.Namespace{}, []string{"reexec_test=given"}, &env)).To(Succeed())
		Expect(env).To(ContainElement("reexec_test=given"))
	})

	It("keeps the fields of an action", func() {
		ns := []reexec.Namespace{{Type: "net", Path: "/proc/self/ns/net"}}
		var result string
		a := reexec.NewReexecAction("answer", reexec.Namespaces(ns), reexec.Param(42),
			reexec.Result(&result), reexec.Environment([]string{"A=B"}))
		Expect(a).To(And(HaveField("ActionName", "answer"), HaveField("Namespaces", ns), HaveField("Param", 42),
			HaveField("Result", BeIdenticalTo(&result)), HaveField("Environment", []string{"A=B"})))
		a.Namespaces = nil
		Expect(a.Run()).To(Succeed())
		Expect(a.Run()).To(Succeed(), "an action may be run again")
		Expect(result).To(Equal("done"))
		Expect((&reexec.ReexecAction{ActionName: "silent"}).Run()).To(Succeed())
	})

	It("starts the running image under the program's name and without arguments", func() {
		Expect(run[[]string]("args")).To(Equal(os.Args[:1]))
	})

	It("returns false from RunAction in a parent", func() { Expect(reexec.RunAction()).To(BeFalse()) })

	It("runs an action in a parent that a test has given one, and leaves it a parent", func() {
		Expect(os.Setenv("gons_reexec_action", "silent")).To(Succeed())
		Expect(reexec.RunAction()).To(BeTrue())
		Expect(os.Environ()).NotTo(ContainElement(HavePrefix("gons_")))
		Expect(run[string]("answer")).To(Equal("done"))
	})

	When("it is used wrongly", func() {
		DescribeTable("panics if", func(misuse func(), text any) { Expect(misuse).To(PanicWith(text)) },
			Entry("the action is unknown to the parent", func() { _ = reexec.RunReexecAction("unknown") },
				`gons/reexec: ReexecAction.Run: attempting to re-execute into unregistered action "unknown"`),
			Entry("an action is registered twice", func() { reexec.Register("answer", func() {}) },
				`gons/reexec: registerAction: re-execution action "answer" already registered`),
			Entry("an action has no name", func() { reexec.Register("", func() {}) }, ContainSubstring("needs both a name and a function")),
			Entry("an action has no function", func() { reexec.Register("nothing", nil) }, ContainSubstring("needs both a name and a function")),
			Entry("an option is nil", func() { reexec.NewReexecAction("answer", nil) }, ContainSubstring("nil option")))

		It("panics in a child", func() {
			Expect(reexec.RunReexecAction("reexec")).To(MatchError(ContainSubstring(
				"gons/reexec: ReexecAction.Run: tried to re-execute in already re-executing child process")))
		})
	})

	When("the child cannot run its action", func() {
		It("says in one line that it does not know the action", func() {
			reexec.Register("too late", func() {})
			err := reexec.RunReexecAction("too late")
			Expect(err).To(MatchError(`gons/reexec: ReexecAction.Run: child failed with stderr message ` +
				`"unregistered gons/reexec re-execution action \"too late\""`))
			Expect(exitCode(err)).To(Equal(1))
		})

		It("panics only in RunAction", func() {
			expectPanic(`panic: unregistered gons/reexec re-execution action "nobody"`, "gons_reexec_action=nobody")
		})

		It("returns true from RunAction after the action", func() {
			child := specs.Child("program that calls RunAction")
			child.Env = append(child.Env, "gons_reexec_action=answer")
			Expect(strings.Fields(string(must(child.Output())))).To(Equal([]string{`"done"`, "true"}))
		})
	})

	It("panics in a program that has not called CheckAction", func() {
		program := specs.Child("program that does not call CheckAction")
		program.Stderr = nil
		out, err := program.CombinedOutput()
		Expect(err).To(MatchError("exit status 2"))
		Expect(string(out)).To(HavePrefix("panic: gons/reexec: ReexecAction.Run: application does not support " +
			"forking and restarting, needs to call reexec.CheckAction() first before running discovery\n"))
	})
})

// expectPanic expects a child that is started by hand, and calls RunAction, to panic.
func expectPanic(text string, variables ...string) {
	GinkgoHelper()
	child := specs.Child("program that calls RunAction")
	child.Env = append(child.Env, variables...)
	child.Stderr = nil
	out, err := child.CombinedOutput()
	Expect(err).To(MatchError("exit status 2"))
	Expect(string(out)).To(MatchRegexp(text))
}

func init() {
	specs.Roles["program that calls RunAction"] = func([]string) { fmt.Println(reexec.RunAction()) }
	specs.Roles["program that does not call CheckAction"] = func([]string) { _ = reexec.RunReexecAction("answer") }
}

var _ = Describe("environment of a child", func() {
	It("takes namespaces only from the action", func() {
		Expect(reexec.RunReexecAction("silent", reexec.Environment([]string{"gons_net=/nowhere", "gons_order=net"}))).To(Succeed())
	})

	It("shows none of gons' variables to the action", func() {
		env := must(run[[]string]("environment"))
		Expect(env).NotTo(BeEmpty())
		Expect(env).NotTo(ContainElement(HavePrefix("gons_")))
	})
})
