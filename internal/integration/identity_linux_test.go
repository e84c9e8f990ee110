package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// A person is who a child is, as its own user namespace sees it.
type person struct {
	User, Group string // real, effective, saved and file system ID
	Groups      string // supplementary groups
	Program     string // effective capabilities of a program that it starts
	Dumpable    int    // see prctl(2)
	Made        string // what has come of making a file
	Opened      string // what has come of opening one for writing
}

// deeds are what a function tries: paths of a file to be made, and of one to be opened.
type deeds struct{ Make, Open string }

var beSomebody = reexec.RegisterFunc("be somebody", func(d deeds) (who person, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return who, err
	}
	program, err := exec.Command("cat", "/proc/self/status").Output()
	if err != nil {
		return who, err
	}
	who.User, who.Group, who.Groups = field(status, "Uid"), field(status, "Gid"), field(status, "Groups")
	who.Program = field(program, "CapEff")
	who.Dumpable, _ = unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	try := func(path string, flags int) string {
		f, err := os.OpenFile(path, flags, 0o644)
		if err == nil {
			err = f.Close()
		}
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		return fmt.Sprint(err)
	}
	who.Made, who.Opened = try(d.Make, os.O_CREATE|os.O_EXCL|os.O_WRONLY), try(d.Open, os.O_WRONLY)
	return who, nil
})

func field(status []byte, name string) string {
	found := regexp.MustCompile(`(?m)^` + name + `:[ \t]*(.*)$`).FindSubmatch(status)
	if found == nil {
		return "no " + name
	}
	return strings.Join(strings.Fields(string(found[1])), " ")
}

// ownerOf returns the user and the group of a file, as this process sees them.
func ownerOf(path string) string {
	GinkgoHelper()
	var stat unix.Stat_t
	Expect(unix.Lstat(path, &stat)).To(Succeed())
	return fmt.Sprintf("%d:%d", stat.Uid, stat.Gid)
}

// inGroups has a child be root, and in these groups.
func inGroups(groups ...uint32) option {
	return withAttr(syscall.SysProcAttr{Credential: &syscall.Credential{Groups: groups}})
}

const (
	allCapabilities = `^0*[1-9a-f][0-9a-f]{8,}$`
	mapped          = "100000:100000"
)

var _ = Describe("root's child in a user namespace", func() {
	BeforeEach(specs.NeedsRoot)

	DescribeTable("becomes root of it, and of nothing else", func(types ...string) {
		n := newNeighbour("user", "mnt", "net", "pid", "time", "mapped")
		for _, by := range ways[deeds, person]() {
			Expect(by(beSomebody, deeds{}, n.in(types...), inGroups(0, 4242))).To(And(
				HaveField("User", "0 0 65534 0"), // the saved one is the parent's
				HaveField("Group", "0 0 0 0"), HaveField("Groups", ""), HaveField("Program", MatchRegexp(allCapabilities)), HaveField("Dumpable", 0)))
		}
	},
		Entry("alone", "!user"), Entry("with a mount namespace", "!user", "!mnt"),
		Entry("with a PID namespace", "!user", "!pid"), Entry("with others, and last of all", "!net", "!mnt", "user"),
		Entry("with all that there are", "user", "mnt", "net", "pid", "time"))

	It("is refused what only root of the host may do", func() {
		n := newNeighbour("user", "mnt", "mapped")
		dir := GinkgoT().TempDir()
		Expect(os.Chmod(dir, 0o777)).To(Succeed())
		secret, outside, inside := filepath.Join(dir, "secret"), filepath.Join(dir, "made"), filepath.Join(n.Hall, "made")
		Expect(os.WriteFile(secret, nil, 0o600)).To(Succeed())
		link("/proc/sys/kernel/core_pattern", filepath.Join(dir, "planted"))

		there := n.in("!user", "!mnt")
		Expect(beSomebody.Call(background, deeds{Make: outside, Open: secret}, there)).To(And(
			HaveField("Opened", "permission denied"), HaveField("Made", "<nil>")))
		Expect(ownerOf(outside)).To(Equal(mapped))
		Expect(beSomebody.Call(background, deeds{Make: inside, Open: filepath.Join(dir, "planted")}, there)).To(And(
			HaveField("Opened", BeElementOf("permission denied", "read-only file system")),
			HaveField("Made", "<nil>"))) // the file system knows this user
		Expect(ownerOf(fmt.Sprintf("/proc/%d/root%s", n.PID, inside))).To(Equal(mapped))
	})

	It("is refused what belongs to its parent's user, too", func() {
		n := newNeighbour("user", "mapped")
		for _, path := range []string{"/dev/stderr", "/proc/self/environ", "/proc/self/comm"} {
			Expect(beSomebody.Call(background, deeds{Open: path}, n.in("!user"))).To(HaveField("Opened", "permission denied"), path)
		}
	})

	It("loses its groups even where that is denied inside", func() {
		specs.NeedsNobody()       // so that groups may be set here
		n := newNeighbour("user") // where package syscall has denied it
		Expect(beSomebody.Call(background, deeds{}, n.in("!user"), inGroups(4242))).To(HaveField("Groups", ""))
	})

	DescribeTable("cannot be where there is no root", func(word string) {
		n := newNeighbour("user", word)
		for _, ref := range n.namespaces("user", "!user") {
			expectJoinError(ref, syscall.EINVAL, fmt.Sprintf("cannot join gons_user using reference %q: Invalid argument "+
				"(user or group 0 is not mapped in there, and the child would stay root of this side: see PreserveCredentials)", ref.Path),
				joining(ref))
		}
	},
		Entry("nobody at all", "unmapped"), Entry("others only", "mapped to 1"),
		Entry("a user, but no group", "without group 0"))

	It("keeps its credentials if it is told so", func() {
		n := newNeighbour("user", "pid", "mapped to 1")
		for _, by := range ways[deeds, person]() {
			Expect(by(beSomebody, deeds{}, n.in("!user", "!pid"), inGroups(4242), reexec.PreserveCredentials())).To(Equal(
				person{User: "65534 65534 65534 65534", Group: "65534 65534 65534 65534", Groups: "65534",
					Program: strings.Repeat("0", 16), Made: "no such file or directory", Opened: "no such file or directory"}))
		}
	})

	It("can be killed by a parent that may kill no other users' processes", func() {
		n := newNeighbour("user", "pid", "mapped")
		onOwnThread(func() {
			Expect(unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_KILL, 0, 0, 0)).To(Succeed())
			const killed = "gons/reexec: ReexecAction.Run: child was killed, reason: context deadline exceeded"
			Expect(tellOf[[]string](withRole("harmless parent", itoa(n.PID)))).To(Equal([]string{killed, killed}))
		})
	})
})

func init() {
	roles["harmless parent"] = func(args []string) any {
		n := neighbourOf(atoi(args[0]))
		var told []string
		for _, types := range [][]string{{"!user"}, {"!user", "!pid"}} {
			told = append(told, fmt.Sprint(reexec.RunReexecActionContext(within(100*time.Millisecond, nil), "hang", silently, n.in(types...))))
		}
		return told
	}
}

var asNobody = withAttr(syscall.SysProcAttr{Credential: specs.Nobody})

var _ = Describe("a child with the credentials of another user", func() {
	It("can open the references of Target, and is told what joining takes", func() {
		specs.NeedsRoot()
		specs.NeedsNobody()
		n := newNeighbour("net")
		expectJoinError(n.namespace("net"), syscall.EPERM, fmt.Sprintf("cannot join gons_net using reference %q: Operation not permitted "+
			"(this takes CAP_SYS_ADMIN in the user namespace that owns it: be root, or join that user namespace first)", n.Path("net")),
			reexec.Target(n.PID, "net"), asNobody)
	})

	It("joins by Target what that user may join", func() {
		specs.NeedsRoot()
		specs.NeedsNobody()
		n := neighbourBy(specs.Nobody, unshares(userNS+" --net")...)
		expectTarget(n, []string{"user", "net"}, reexec.Target(n.PID, "user", "net"), asNobody)
		Expect(beSomebody.Call(background, deeds{}, reexec.Target(n.PID, "user"), asNobody)).To(And(HaveField("User", "0 0 0 0"), HaveField("Group", "0 0 0 0")))
	})
})

var _ = Describe("an ordinary user's child in a user namespace", func() {
	It("keeps its IDs where there is no root", func() {
		specs.NeedsNamespaces("user")
		asOrdinaryUser(func() {
			started, err := specs.StartNeighbour("-", "user", "unmapped")
			if err != nil {
				Skip("needs a user namespace of an ordinary user: " + err.Error())
			}
			defer started.End()
			n := &neighbour{started}
			for _, options := range [][]option{nil, {reexec.PreserveCredentials()}} {
				Expect(beSomebody.Call(background, deeds{}, append(options, n.in("!user"))...)).To(And(HaveField("User", "65534 65534 65534 65534"), HaveField("Group", "65534 65534 65534 65534")))
			}
		})
	})

	It("becomes root where there is one", func() {
		n := newNeighbour("user")
		Expect(beSomebody.Call(background, deeds{}, n.in("!user"))).To(And(
			HaveField("User", "0 0 0 0"), HaveField("Group", "0 0 0 0"), HaveField("Program", MatchRegexp(allCapabilities))))
	})
})
