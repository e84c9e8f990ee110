package child

import (
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/sys"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// tell runs a command, with more variables, and returns what it tells.
func tell(cmd *exec.Cmd, vars ...string) (told taken) {
	GinkgoHelper()
	cmd.Env = append(cmd.Env, vars...)
	Expect(json.Unmarshal(specs.OK(cmd.Output()), &told)).To(Succeed())
	return told
}

var _ = Describe("orders", func() {
	It("are taken as they were given, and leave no trace", func() {
		if runtime.GOOS == "windows" {
			Skip("needs extra files")
		}
		given := Orders{Action: "=a \"strange\"\nname ", Answers: 3, Control: 4, Concurrency: 1 << 30, Grace: 100 * time.Hour,
			Stderr: 7, Sealed: 5, Death: int(syscall.SIGTERM), Parent: 8}
		for field := range reflect.TypeFor[Orders]().NumField() {
			Expect(reflect.ValueOf(given).Field(field).IsZero()).To(BeFalse(), reflect.TypeFor[Orders]().Field(field).Name)
		}
		cmd := specs.Child("take", "3", "4", "5", "6", "7", "8")
		cmd.Args[0] = "/some/where/program"
		for range 6 {
			r, w := specs.OK2(os.Pipe())
			defer sys.CloseAll(r, w)
			cmd.ExtraFiles = append(cmd.ExtraFiles, r)
		}
		told := tell(cmd, append([]string{"gons_net=/proc/self/ns/net", "gons_reexec_unknown=1", "gonsnot=1"}, given.Vars()...)...)
		Expect(told.Orders).To(Equal(given))
		Expect(told.Env).NotTo(ContainElement(HavePrefix("gons_")))
		Expect(told.Env).To(ContainElement("gonsnot=1"))
		Expect(told.Open).To(Equal([]string{"3", "4", "6", "7"}), "all but the sealed program and the parent")
		if runtime.GOOS == "linux" {
			Expect(told.Inherited).To(Equal([]string{"6"}))
			Expect(told.Name).To(Equal("program\n"))
		}
	})

	It("are none by themselves", func() {
		Expect(Orders{}.Vars()).To(Equal([]string{"gons_reexec_child=1", "gons_reexec_action="}))
	})

	DescribeTable("that are no number are none", func(number string) {
		vars := []string{"gons_reexec_child=1", "gons_reexec_action=a"}
		for _, name := range []string{"fd_answers", "fd_control", "fd_stderr", "concurrency", "fd_sealed", "pdeath", "fd_parent", "grace", "fd_coverdir"} {
			vars = append(vars, "gons_reexec_"+name+number)
		}
		told := tell(specs.Child("take", "1", "2"), vars...)
		Expect(told.Orders).To(Equal(Orders{Action: "a"}))
		Expect(told.Open).To(Equal([]string{"1", "2"}))
		if runtime.GOOS == "linux" {
			Expect(told.Inherited).To(Equal([]string{"1", "2"}))
		}
		Expect(told.Env).NotTo(ContainElement(HavePrefix("gons_")))
	},
		Entry("an empty value", "="),
		Entry("a word", "=x"),
		Entry("a number and more", "=2x"),
		Entry("less than any number", "=-2"),
		Entry("a number before the first", "= 2"),
		Entry("more than any number", "=99999999999999999999"),
	)

	It("of others are left alone", func() {
		told := tell(specs.Child("take"), "gons_reexec_action=foo", "gons_reexec_fd_answers=3", "gons_net=", "gons_foo=bar")
		Expect(told.Orders).To(Equal(Orders{}))
		Expect(told.Env).To(ContainElements("gons_reexec_action=foo", "gons_reexec_fd_answers=3", "gons_foo=bar"))
	})

	It("of others can be taken", func() {
		told := tell(specs.Child("by hand"), "gons_reexec_action=foo", "gons_foo=bar")
		Expect(told.Orders).To(Equal(Orders{}))
		Expect(told.Name).To(Equal("foo"))
		Expect(told.After).To(BeEmpty())
		Expect(told.Env).NotTo(ContainElement(HavePrefix("gons_")))
	})

	It("do not survive cleaning", func() {
		env := append([]string{"A=1", "xgons_=1", "gons_=2", "GONS_x=3"}, Orders{Action: "a", Grace: 1, Stderr: 3}.Vars()...)
		clean := slices.DeleteFunc(withoutOrders(env), func(v string) bool { return strings.HasPrefix(v, "GORACE=") })
		Expect(clean).To(Equal([]string{"A=1", "xgons_=1", "GONS_x=3"}))
		Expect(env[0]).To(Equal("A=1"), "it is a copy")
		Expect(withoutOrders(nil)).NotTo(BeNil(), "which would be the parent's own environment to package exec")
	})

	DescribeTable("the race detector's last sleep", func(env, expected []string) {
		Expect(withoutRaceSleep(slices.Clone(env))).To(Equal(append(env, expected...)))
	},
		Entry("is left out", []string{"A=1"}, []string{"GORACE=atexit_sleep_ms=0"}),
		Entry("is left out beside other options", []string{"GORACE=x", "GORACE=halt_on_error=1"}, []string{"GORACE=atexit_sleep_ms=0 halt_on_error=1"}),
		Entry("stays where it is wanted", []string{"GORACE=atexit_sleep_ms=5 a=b"}, nil),
	)
})
