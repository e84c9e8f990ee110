package integration

import (
	"fmt"
	"os"
	"strings"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("re-execution", func() {

	It("runs an action and decodes its answer", func() {
		var answer string
		Expect(reexec.RunReexecAction("answer", reexec.Result(&answer))).To(Succeed())
		Expect(answer).To(Equal("done"))
	})

	It("passes a parameter", func() {
		var answer []any
		Expect(reexec.RunReexecAction("echo",
			reexec.Param([]any{"a", 1.5, nil}), reexec.Result(&answer))).To(Succeed())
		Expect(answer).To(Equal([]any{"a", 1.5, nil}))
	})

	It("passes environment variables, and they win over inherited ones", func() {
		GinkgoT().Setenv("reexec_test", "inherited")
		var env []string
		Expect(reexec.RunReexecAction("environment",
			reexec.Environment([]string{"reexec_test=given"}), reexec.Result(&env))).To(Succeed())
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
		Expect(a.ActionName).To(Equal("answer"))
		Expect(a.Namespaces).To(Equal(ns))
		Expect(a.Param).To(Equal(42))
		Expect(a.Result).To(BeIdenticalTo(&result))
		Expect(a.Environment).To(Equal([]string{"A=B"}))
		a.Namespaces = nil
		Expect(a.Run()).To(Succeed())
		Expect(a.Run()).To(Succeed(), "an action may be run again")
		Expect(result).To(Equal("done"))
		Expect((&reexec.ReexecAction{ActionName: "silent"}).Run()).To(Succeed())
	})

	It("starts the running image under the program's name and without arguments", func() {
		var args []string
		Expect(reexec.RunReexecAction("args", reexec.Result(&args))).To(Succeed())
		Expect(args).To(Equal(os.Args[:1]))
	})

	It("returns false from RunAction in a parent", func() {
		Expect(reexec.RunAction()).To(BeFalse())
	})

	When("it is used wrongly", func() {

		It("panics if the action is unknown to the parent", func() {
			Expect(func() { _ = reexec.RunReexecAction("unknown") }).To(PanicWith(
				`gons/reexec: ReexecAction.Run: attempting to re-execute into unregistered action "unknown"`))
		})

		It("panics if an action is registered twice", func() {
			Expect(func() { reexec.Register("answer", func() {}) }).To(PanicWith(
				`gons/reexec: registerAction: re-execution action "answer" already registered`))
		})

		It("panics if an action has no name or no function", func() {
			Expect(func() { reexec.Register("", func() {}) }).To(Panic())
			Expect(func() { reexec.Register("nothing", nil) }).To(Panic())
		})

		It("panics in a child", func() {
			err := reexec.RunReexecAction("reexec")
			Expect(err).To(MatchError(ContainSubstring(
				"gons/reexec: ReexecAction.Run: tried to re-execute in already re-executing child process")))
		})

		It("panics if an option is nil", func() {
			Expect(func() { reexec.NewReexecAction("answer", nil) }).To(PanicWith(ContainSubstring("nil option")))
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
			out, err := child.Output()
			Expect(err).NotTo(HaveOccurred())
			Expect(strings.Fields(string(out))).To(Equal([]string{`"done"`, "true"}))
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
