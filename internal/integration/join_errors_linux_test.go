package integration

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// A wayIn is a way to run something in a child. What a way quotes is quoted in its errors.
type wayIn struct {
	name  string
	in    func(ctx context.Context, options ...option) error
	quote func(message string) string
}

func (w wayIn) run(options ...option) error { return w.in(background, options...) }

var waysIn = []wayIn{
	{"action", func(ctx context.Context, options ...option) error {
		return reexec.RunReexecActionContext(ctx, "silent", options...)
	}, func(message string) string {
		return fmt.Sprintf("gons/reexec: ReexecAction.Run: child failed with stderr message %q", message)
	}},
	{"call", func(ctx context.Context, options ...option) error {
		return errorOf(double.Call(ctx, 1, options...))
	}, ofDouble},
	{"worker", func(ctx context.Context, options ...option) error {
		worker, err := double.Start(ctx, options...)
		if err == nil {
			_ = worker.Close()
		}
		return err
	}, ofDouble},
}

func ofDouble(message string) string { return `gons/reexec: function "double": ` + message }

// expectInEveryWay expects this of the error of a run in every way.
func expectInEveryWay(expected OmegaMatcher, options ...option) {
	GinkgoHelper()
	for _, way := range waysIn {
		Expect(way.run(options...)).To(expected, way.name)
	}
}

// expectJoinError expects a run to fail in every way since a child cannot join a namespace.
// The message lacks "package gons: ". Without options it is just that one.
func expectJoinError(ns reexec.Namespace, errno syscall.Errno, message string, options ...option) {
	GinkgoHelper()
	specs.NeedsCgo()
	if options == nil {
		options = []option{joining(ns)}
	}
	for _, way := range waysIn {
		err := way.run(options...)
		Expect(err).To(MatchError(way.quote("package gons: "+message)), way.name)
		Expect(err).To(MatchError(errno), way.name)
		Expect(asActionError(err).Stderr).To(Equal("package gons: " + message))
		join := as[*reexec.JoinError](err)
		Expect(join).To(And(HaveField("Type", kind(ns.Type)), HaveField("Path", ns.Path), HaveField("Err", errno)), way.name)
		Expect(join).To(MatchError("package gons: " + message))
		Expect(errors.Unwrap(join)).To(Equal(errno))
		Expect(exitCode(err)).To(Equal(1), way.name)
	}
}

var _ = Describe("a namespace that cannot be joined", func() {
	const (
		vanished = " (the process has ended, or /proc belongs to another PID namespace and numbers it otherwise)"
		owner    = " (this takes CAP_SYS_ADMIN in the user namespace that owns it: be root, or join that user namespace first)"
	)

	for _, ns := range specs.NamespaceFlags {
		for _, typ := range []string{ns.Kind, "!" + ns.Kind} {
			It("is a JoinError that says so: "+typ, func() {
				expectJoinError(reexec.Namespace{Type: typ, Path: "/nowhere"}, syscall.ENOENT,
					"invalid gons_"+ns.Kind+" reference \"/nowhere\": No such file or directory")

				gone := newNeighbour("user")
				gone.End()
				ref := gone.namespace(typ)
				expectJoinError(ref, syscall.ENOENT,
					fmt.Sprintf("invalid gons_%s reference %q: No such file or directory%s", ns.Kind, ref.Path, vanished))
			})

			It("may lead to nothing that can be joined as this type: "+typ, func() {
				specs.NeedsSetns()
				hint := " (is it a namespace, and of this type?)"
				paths := []string{"/dev/null", "/proc/self/ns/net"}
				switch ns.Kind {
				case "net":
					paths[1] = "/proc/self/ns/uts"
				case "user":
					paths = append(paths, "/proc/self/ns/user")
					hint = " (is it one's own already? then leave it out)"
				case "pid":
					hint = " (is it a PID namespace, below one's own? and is the child not the first process of a new one?)"
				}
				for _, path := range paths {
					expectJoinError(reexec.Namespace{Type: typ, Path: path}, syscall.EINVAL,
						fmt.Sprintf("cannot join gons_%s using reference %q: Invalid argument%s", ns.Kind, path, hint))
				}
			})

			if ns.Kind == "user" {
				continue
			}

			It("may be out of reach from the user namespace: "+typ, func() {
				ref := reexec.Namespace{Type: typ, Path: "/proc/self/fd/3"}
				expectJoinError(ref, syscall.EPERM,
					fmt.Sprintf("cannot join gons_%s using reference %q: Operation not permitted%s", ns.Kind, ref.Path, owner),
					joining(newNeighbour("user").namespace("!user"), ref), withFiles(opened("/proc/self/ns/"+ns.Kind)))
			})
		}
	}

	It("may be the user namespace of somebody else", func() {
		specs.NeedsNamespaces("user")
		above := opened("/proc/self/ns/user")
		for _, typ := range []string{"user", "!user"} {
			ref := reexec.Namespace{Type: typ, Path: "/proc/self/fd/3"}
			expectJoinError(ref, syscall.EPERM, "cannot join gons_user using reference \"/proc/self/fd/3\": "+
				"Operation not permitted (a user namespace is open to root, and to the user who made it)",
				joining(ref), withAttr(*rootOfNewUser(0)), withFiles(above))
		}
	})

	It("may be a PID namespace, for the first process of another one", func() {
		specs.NeedsRoot()
		ref := newNeighbour("pid").namespace("!pid")
		expectJoinError(ref, syscall.EINVAL, fmt.Sprintf("cannot join gons_pid using reference %q: Invalid argument "+
			"(is it a PID namespace, below one's own? and is the child not the first process of a new one?)", ref.Path),
			joining(ref), withAttr(syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}))
	})

	It("may be a FIFO, which keeps no time namespace waiting", func() {
		specs.NeedsSetns()
		ref := reexec.Namespace{Type: "time", Path: filepath.Join(GinkgoT().TempDir(), "fifo")}
		Expect(unix.Mkfifo(ref.Path, 0o600)).To(Succeed())
		expectJoinError(ref, syscall.EINVAL, fmt.Sprintf("cannot join gons_time using reference %q: Invalid argument "+
			"(is it a namespace, and of this type?)", ref.Path))
	})

	It("may belong to a process that one may not look at", func() {
		if _, err := os.Readlink("/proc/1/ns/net"); !errors.Is(err, fs.ErrPermission) {
			Skip("needs a process that one may not look at")
		}
		ref := reexec.Namespace{Type: "net", Path: "/proc/1/ns/net"}
		expectJoinError(ref, syscall.EACCES, "invalid gons_net reference \"/proc/1/ns/net\": Permission denied "+
			"(this takes the right to trace the process, see ptrace(2): be root; its user may if it is dumpable and has no more privileges)")
	})

	It("may be a PID namespace that takes no more processes", func() {
		n := newNeighbour("user", "pid")
		refs, files := n.held("!user", "!pid")
		n.End()
		options := []option{reexec.Namespaces(refs), withFiles(files...)}
		text := "Cannot allocate memory"
		if err := waysIn[0].run(options...); strings.Contains(err.Error(), "Out of memory") {
			text = "Out of memory" // as musl has it
		}
		expectJoinError(refs[1], syscall.ENOMEM, "cannot join gons_pid using reference \"/proc/self/fd/4\": "+
			text+" (its first process has ended, so that it takes no more, or memory is short)", options...)
	})

	It("may be any, where a filter denies setns", func() {
		specs.NeedsCgo()
		const message = "package gons: cannot join gons_net using reference \"/proc/self/ns/net\": " +
			"Operation not permitted (a seccomp filter of this process denies setns(2))"
		told := tellOf[[]string](withRole("without setns"))
		Expect(told).To(HaveLen(len(waysIn)))
		for i, way := range waysIn {
			Expect(told[i]).To(Equal(way.quote(message)))
		}
	})

	It("has a text even if a client has made the error", func() {
		err := &reexec.JoinError{Type: "net", Path: "/nowhere", Err: syscall.ENOENT}
		Expect(err).To(MatchError(`package gons: cannot join gons_net using reference "/nowhere": no such file or directory`))
		Expect(err).To(MatchError(fs.ErrNotExist))
	})
})

// held refers to the namespaces by files that are open until the end of the spec, and the first extra files of a child.
func (n *neighbour) held(types ...string) (refs []reexec.Namespace, files []*os.File) {
	GinkgoHelper()
	for i, typ := range types {
		files = append(files, opened(n.namespace(typ).Path))
		refs = append(refs, reexec.Namespace{Type: typ, Path: fmt.Sprintf("/proc/self/fd/%d", 3+i)})
	}
	return refs, files
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

func init() {
	// Reports what joining comes to where a filter denies it.
	roles["without setns"] = func([]string) any {
		if err := deny(unix.SYS_SETNS, unix.EPERM); err != nil {
			return []string{err.Error()}
		}
		var told []string
		for _, way := range waysIn {
			told = append(told, fmt.Sprint(way.run(joining(reexec.Namespace{Type: "net", Path: "/proc/self/ns/net"}))))
		}
		return told
	}

	// Reports what a child with new network namespaces comes to, where there may be so many.
	roles["limit"] = func(args []string) any {
		if err := os.WriteFile("/proc/sys/user/max_net_namespaces", []byte(args[0]), 0); err != nil {
			return []string{err.Error()}
		}
		var told []string
		for _, way := range waysIn {
			err := way.run(withAttr(syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}))
			told = append(told, fmt.Sprint(err, ", ENOSPC: ", errors.Is(err, syscall.ENOSPC)))
		}
		return told
	}
}

var _ = Describe("a child that cannot get new namespaces", func() {
	It("is an error that tells of a limit", func() {
		specs.NeedsNamespaces("user")
		if _, err := os.Stat("/proc/sys/user"); err != nil {
			Skip("needs a limit: " + err.Error())
		}
		role := withRole("limit", "0")
		role.SysProcAttr = rootOfNewUser(0)
		what := "cannot start child, reason: fork/exec /proc/self/exe: no space left on device " +
			"(the limit on namespaces is reached, see /proc/sys/user, or they are nested too deeply), ENOSPC: true"
		Expect(tellOf[[]string](role)).To(Equal([]string{
			"gons/reexec: ReexecAction.Run: " + what, `gons/reexec: function "double": ` + what, `gons/reexec: function "double": ` + what}))
	})

	It("is an error that tells of missing privileges", func() {
		asOrdinaryUser(func() {
			expectInEveryWay(And(MatchError(syscall.EPERM), MatchError(HaveSuffix("cannot start child, reason: fork/exec /proc/self/exe: operation not permitted "+
				"(new namespaces take CAP_SYS_ADMIN, or a new user namespace with them, and the system may forbid those to ordinary users)"))),
				withAttr(syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}))
		})
	})
})
