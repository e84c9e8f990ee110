//go:build cgo

package birth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/sys"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// scriptVar has the test binary perform a script instead of testing. It is a child, or pretends
// to be one, without a constructor: its own variables do not tell that one so.
const scriptVar = "birth_test_script"

// perform performs the steps of a script, separated by semicolons:
//
//	say TEXT        sends a report; SELF is this process' PID, and OTHER that of the process last started
//	child TEXT      starts a child that sends a report and lasts as long as the test wants
//	sibling TEXT    the same for a sibling, as the clone in clone.c is one
//	mute            closes the socket
//	last            lasts as long as the test wants
func perform(script string) {
	const socket, stay = 4, 3
	other := 0
	for _, step := range strings.Split(script, ";") {
		word, rest, _ := strings.Cut(strings.TrimSpace(step), " ")
		switch word {
		case "say":
			rest = strings.ReplaceAll(rest, "SELF", strconv.Itoa(os.Getpid()))
			rest = strings.ReplaceAll(rest, "OTHER", strconv.Itoa(other))
			if err := unix.Sendto(socket, []byte(rest), unix.MSG_NOSIGNAL, nil); err != nil {
				panic(err)
			}
		case "child", "sibling":
			told, tell, _ := os.Pipe()
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = []string{scriptVar + "=say " + rest + "; mute; tell; last", "GORACE=atexit_sleep_ms=0"}
			cmd.Stdout, cmd.Stderr = tell, os.Stderr
			cmd.ExtraFiles = []*os.File{os.NewFile(stay, "stay"), os.NewFile(socket, "socket")}
			if word == "sibling" {
				cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT}
			}
			if err := cmd.Start(); err != nil {
				panic(err)
			}
			other = cmd.Process.Pid
			_, _ = io.ReadFull(told, make([]byte, 1))
			fmt.Println(other)
		case "tell":
			fmt.Print(".")
		case "mute":
			_ = unix.Close(socket)
		case "last":
			_, _ = unix.Read(stay, make([]byte, 1)) // to the end of file
		}
	}
}

// A performance is what became of the start of a child that performs a script.
type performance struct {
	first, child *exec.Cmd
	err          error
	other        int // PID of the process that the script has started, if it has
}

// someRefs have a child that performs a script report, and have nobody join anything.
var someRefs = []Ref{{Type: "time", Path: "/nowhere"}}

// start starts a child that performs a script, and reaps it after the spec.
func start(ctx context.Context, script string) (p performance) {
	GinkgoHelper()
	stay, end := specs.OK2(os.Pipe())
	p.first = exec.Command("/proc/self/exe")
	p.first.Env = []string{scriptVar + "=" + script, "GORACE=atexit_sleep_ms=0"}
	stdout, w := specs.OK2(os.Pipe())
	defer stdout.Close()
	p.first.Stdout, p.first.Stderr = w, os.Stderr
	p.first.ExtraFiles = []*os.File{stay}
	p.child, p.err = Start(ctx, p.first, someRefs, false)
	sys.CloseAll(stay, w)
	if started := strings.Contains(script, "child ") || strings.Contains(script, "sibling "); started && p.err != ErrKilled {
		_, _ = fmt.Fscan(stdout, &p.other)
	}
	DeferCleanup(func() {
		_ = end.Close()
		if p.child.Process != nil {
			_ = p.child.Wait()
		}
		for { // whatever nobody has taken over
			if _, err := unix.Wait4(-1, nil, 0, nil); err == unix.ECHILD {
				break
			}
		}
	})
	return p
}

// alive tells whether there is a process, and it is no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

var _ = Describe("reports", func() {
	DescribeTable("are believed if they come from", func(script string, clone bool) {
		p := start(context.Background(), script)
		Expect(p.err).NotTo(HaveOccurred())
		Expect(p.child == p.first).To(Equal(!clone))
		Expect(p.child.Process.Pid == p.other).To(Equal(clone))
		Expect(p.first.ProcessState != nil).To(Equal(clone), "the first process has been reaped")
		Expect(alive(p.child.Process.Pid)).To(BeTrue())
	},
		Entry("the child", "say joined; last", false),
		Entry("its clone", "sibling joined; say cloned OTHER SELF", true),
	)

	DescribeTable("are not believed otherwise",
		func(script string) {
			p := start(context.Background(), script)
			Expect(p.err).To(MatchError(ErrNoReport))
			Expect(p.child).To(BeIdenticalTo(p.first))
			Expect(p.child.Wait()).To(MatchError("signal: killed"), "it has been told to last")
		},
		Entry("none at all", "mute; last"),
		Entry("joined, from somebody else's child", "child joined; mute; last"),
		Entry("failed, from somebody else's child", "child failed 2 package gons: invalid gons_net; mute; last"),
		Entry("cloned, from somebody else's child", "child cloned 1 SELF; mute; last"),
		Entry("cloned, from a sibling", "sibling cloned 1 SELF; mute; last"),
		Entry("cloned, where the child is another one to itself", "say cloned 1 1; mute; last"),
		Entry("cloned, without numbers", "say cloned; say cloned x y; say cloned 1; mute; last"),
		Entry("of another wording", "say joinedx; say Joined; say  joined; say joined\tx; mute; last"),
		Entry("an empty one, which is as good as the end", "say ; last"),
	)

	It("that tell a foreign process' PID have nobody killed", func() {
		if os.Getpid() == 1 {
			Skip("orphans are children of the first process")
		}
		p := start(context.Background(), "child hello; say cloned OTHER SELF")
		Expect(p.err).To(MatchError(ErrNoReport))
		Expect(p.child).NotTo(BeIdenticalTo(p.first))
		Expect(p.child.Process).To(BeNil())
		Expect(p.first.ProcessState).NotTo(BeNil())
		Expect(alive(p.other)).To(BeTrue())
	})

	It("have a clone reaped that has died before its own", func() {
		p := start(context.Background(), "sibling hello; say cloned OTHER SELF")
		Expect(p.err).To(MatchError(ErrNoReport))
		Expect(p.child.Process).NotTo(BeNil())
		Expect(p.child.Process.Pid).To(Equal(p.other))
		Expect(p.child.Wait()).To(MatchError("signal: killed"))
	})

	It("tell which namespace could not be joined", func() {
		p := start(context.Background(), `say failed 2 package gons: invalid gons_time reference "/nowhere": No such file or directory`)
		Expect(p.child).To(BeIdenticalTo(p.first))
		var join *JoinError
		Expect(errors.As(p.err, &join)).To(BeTrue())
		Expect(*join).To(Equal(JoinError{Kind: "time", Path: "/nowhere", Err: syscall.ENOENT,
			Text: `package gons: invalid gons_time reference "/nowhere": No such file or directory`}))
	})

	DescribeTable("are awaited no longer than the context lasts", func(time time.Duration, script string) {
		ctx, cancel := context.WithTimeout(context.Background(), time)
		defer cancel()
		p := start(ctx, script)
		Expect(p.err).To(MatchError(ErrKilled))
		Expect(p.child.Wait()).To(MatchError("signal: killed"))
	},
		Entry("and may not come", 20*time.Millisecond, "last"),
		Entry("and come too late after that", time.Duration(0), "sibling joined; say cloned OTHER SELF; last"),
	)

	It("count if they had come by then, though nobody has read them", func() {
		ours, theirs := specs.OK2(sys.SocketPair())
		Expect(sys.NameSenders(ours)).To(Succeed())
		defer sys.CloseAll(ours, theirs)
		self := specs.OK(os.FindProcess(os.Getpid()))
		for _, report := range []string{"cloned 0 0", "joined"} {
			specs.OK(theirs.WriteString(report))
		}
		Expect(ours.SetReadDeadline(time.Now())).To(Succeed())
		first := &exec.Cmd{Process: self}
		Expect(await(ours, first, nil)).To(BeIdenticalTo(first))
		Expect(self.Release()).To(Succeed())
	})

	DescribeTable("of failure are understood",
		func(report string, kind, path string, err error) {
			join := newJoinError(report, []Ref{{Type: "!net", Path: "/a gons_user b"}, {Type: "pid", Path: "/p"}})
			Expect(join.Kind).To(Equal(kind))
			Expect(join.Path).To(Equal(path))
			Expect(join.Unwrap()).To(Equal(err))
			Expect(join.Error()).NotTo(BeEmpty())
		},
		Entry("by type", `2 package gons: invalid gons_net reference "/a gons_user b": x`, "net", "/a gons_user b", syscall.ENOENT),
		Entry("with another type", `12 package gons: cannot join gons_pid using reference "/p": x`, "pid", "/p", syscall.ENOMEM),
		Entry("with a type that nobody has asked for", `1 package gons: cannot join gons_uts using`, "uts", "", syscall.EPERM),
		Entry("with an advice of its own", `22 package gons: cannot join gons_pid using reference "/p": x (y)`, "pid", "/p", syscall.EINVAL),
		Entry("without a type", "22 cannot join namespaces, since", "", "", syscall.EINVAL),
		Entry("without a number", "x y", "", "", syscall.Errno(0)),
	)
})

var _ = It("children are told from other processes, and are not reaped by that", func() {
	child := exec.Command("cat")
	stdin := specs.OK(child.StdinPipe())
	Expect(child.Start()).To(Succeed())
	pid := child.Process.Pid
	Expect(isChild(pid)).To(Succeed())
	Expect(stdin.Close()).To(Succeed())
	Eventually(alive).WithArguments(pid).Should(BeFalse())
	Expect(isChild(pid)).To(Succeed(), "as a zombie, too")
	Expect(child.Wait()).To(Succeed())
	Expect(isChild(pid)).To(Equal(syscall.ECHILD), "gone")
	for _, pid := range []int{os.Getpid(), os.Getppid(), 0} {
		Expect(isChild(pid)).To(Equal(errNoChild))
	}
})

var _ = DescribeTable("orders", func(refs []Ref, files int, vars ...string) {
	cmd := &exec.Cmd{ExtraFiles: []*os.File{os.Stdin}}
	preserve := &exec.Cmd{ExtraFiles: []*os.File{os.Stdin}}
	orderToJoin(preserve, slices.Clone(refs), true, os.Stdout)
	Expect(preserve.Env).To(ConsistOf(append(slices.Clone(vars), "gons_reexec_preserve=1")))
	orderToJoin(cmd, refs, false, os.Stdout)
	Expect(cmd.Env).To(Equal(vars))
	Expect(cmd.ExtraFiles).To(HaveLen(1 + files))
},
	Entry(nil, []Ref{{Type: "!user", Path: "/u"}, {Type: "net", Path: "/n"}}, 1, "gons_user=/u", "gons_net=/n", "gons_order=!user,net", "gons_reexec_socket=4-4"),
	Entry(nil, []Ref{{Type: "time", Path: "/t"}, {Type: "!pid", Path: "/p"}}, 1, "gons_reexec_time==/t", "gons_pid=/p", "gons_order=!pid", "gons_reexec_socket=4-4"),
	Entry(nil, []Ref{{Type: "!time", Path: "!/t"}}, 1, "gons_reexec_time=!!/t", "gons_order=", "gons_reexec_socket=4-4"),
	Entry("what comes with targets", []Ref{{Type: "!time", File: os.Stdin}, {Type: "!user", File: os.Stdin}, {Type: rootKind, File: os.Stdin}, {Type: ownerKind, File: os.Stdin}}, 5,
		"gons_reexec_time=</proc/self/fd/5", "gons_user=/proc/self/fd/6", "gons_reexec_root=7", "gons_reexec_owner=8", "gons_order=!user", "gons_reexec_socket=4-8"),
	Entry("those that are open already", []Ref{{Type: "!user", Path: "/u", File: os.Stdin}, {Type: "net", Path: "/n"}, {Type: "!time", File: os.Stdin}}, 3,
		"gons_user=/proc/self/fd/5", "gons_net=/n", "gons_reexec_time=!/proc/self/fd/6", "gons_order=!user,net", "gons_reexec_socket=4-6"),
)
