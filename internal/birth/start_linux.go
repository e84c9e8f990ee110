package birth

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/gons/reexec/internal/sys"
	"golang.org/x/sys/unix"
)

const (
	socketVar   = "gons_reexec_socket"   // FIRST-LAST: number of the socket, which open namespaces follow
	timeVar     = "gons_reexec_time"     // <, ! or =, then the reference of the time namespace
	preserveVar = "gons_reexec_preserve" // 1 if the child keeps its IDs in a user namespace
)

// numberPrefix is how the variables of rootKind and ownerKind begin, which tell the number of a descriptor.
const numberPrefix = "gons_reexec_"

// orderToJoin orders a child to join namespaces. join.c reads the variables named above, and gets the files; package gons
// reads the other variables.
func orderToJoin(cmd *exec.Cmd, refs []Ref, preserve bool, socket *os.File) {
	add := func(f *os.File) (number string) {
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		return strconv.Itoa(2 + len(cmd.ExtraFiles))
	}
	first := add(socket)
	last := first
	var types []string
	for i, ref := range refs {
		if ref.File != nil {
			last = add(ref.File)
			refs[i].sent = "/proc/self/fd/" + last
			ref.Path = refs[i].sent
		}
		switch kind := ref.Kind(); {
		case kind == ownerKind || kind == rootKind:
			refs[i].sent = last
			cmd.Env = append(cmd.Env, numberPrefix+kind+"="+last)
		case kind == "time":
			mark := "="
			if ref.Type != kind {
				mark = "!"
				if slices.Contains(kindsOf(refs[i:]), "user") {
					mark = "<"
				}
			}
			cmd.Env = append(cmd.Env, timeVar+"="+mark+ref.Path)
		default:
			cmd.Env = append(cmd.Env, "gons_"+kind+"="+ref.Path)
			types = append(types, ref.Type)
		}
	}
	if preserve {
		cmd.Env = append(cmd.Env, preserveVar+"=1")
	}
	cmd.Env = append(cmd.Env, "gons_order="+strings.Join(types, ","), socketVar+"="+first+"-"+last)
}

// Start starts a child and returns once it has joined these namespaces, if there are any. They must have been checked. In a
// user namespace the child becomes root, unless it is to preserve its credentials. It inherits what the calling thread has.
//
// The caller waits for the command that Start returns, which is another one than cmd if the child has joined a PID namespace. It
// is nil if no child was started. With a command and an error the child was started, but has not joined: it has ended, or is
// about to, and the caller waits for it all the same.
//
// The end of ctx kills a child that has not joined by then.
func Start(ctx context.Context, cmd *exec.Cmd, refs []Ref, preserve bool) (child *exec.Cmd, err error) {
	// Not every kernel makes the child enter a new time namespace when it executes the program: join.c does.
	newTime := cmd.SysProcAttr != nil && cmd.SysProcAttr.Unshareflags&unix.CLONE_NEWTIME != 0
	if len(refs) == 0 && !newTime {
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		return cmd, nil
	}
	if err := CannotJoin(); err != nil {
		return nil, err
	}
	ours, theirs, err := sys.SocketPair()
	if err != nil {
		return nil, err
	}
	defer sys.CloseAll(ours, theirs)
	if err := sys.NameSenders(ours); err != nil {
		return nil, err
	}
	orderToJoin(cmd, refs, preserve, theirs)
	err = cmd.Start()
	_ = theirs.Close() // so that the socket ends with the child
	if err != nil {
		return nil, err
	}

	stop := context.AfterFunc(ctx, func() { _ = ours.SetReadDeadline(time.Now()) })
	defer stop()
	child, err = await(ours, cmd, refs)
	if (errors.Is(err, ErrKilled) || errors.Is(err, ErrNoReport)) && child.Process != nil {
		_ = child.Process.Kill() // it may be a clone, or a program without the constructor
	}
	return child, err
}

// cannotObey returns errSecure in a set-user-ID program, or one with file capabilities, where the
// constructor has not seen to that (getauxval(3): AT_SECURE).
func cannotObey() error {
	const atSecure = 23
	auxv, err := unix.Auxv()
	if err != nil || slices.ContainsFunc(auxv, func(entry [2]uintptr) bool { return entry[0] == atSecure && entry[1] != 0 }) {
		return errSecure
	}
	return nil
}
