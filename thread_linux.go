package reexec

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// goOnLostThread runs f in a goroutine on a thread that serves no other goroutine
// afterwards, whatever f does to it.
func goOnLostThread(f func()) {
	go func() {
		// A thread ends together with a goroutine that is still locked to it.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// But the main thread cannot end. Keep it while f gets another.
			defer runtime.UnlockOSThread()
			done := make(chan struct{})
			goOnLostThread(func() {
				defer close(done)
				f()
			})
			<-done
			return
		}
		f()
	}()
}

// startOnThread starts a command, in a PID namespace if there is one, from the
// right thread.
//
// A child inherits the namespaces of the thread that starts it, so usually that
// is the calling one: its goroutine may be locked to it for this very reason. A
// thread that moves to a PID namespace, or must live on until the channel keep
// is closed, is better one of its own, as long as that makes no difference for
// the child.
func startOnThread(cmd *exec.Cmd, pid *os.File, keep <-chan struct{}) error {
	if pid == nil && keep == nil {
		return cmd.Start()
	}
	runtime.LockOSThread()
	here := surroundings()
	result := make(chan error)
	goOnLostThread(func() {
		if surroundings() != here {
			result <- errElsewhere
			return
		}
		err := startIn(cmd, pid)
		result <- err
		if err == nil && keep != nil {
			<-keep
		}
	})
	err := <-result
	if err == errElsewhere {
		err = startThereAndBack(cmd, pid)
	}
	runtime.UnlockOSThread() // not deferred: a thread that has lost its way must not be used again
	return err
}

// errElsewhere says that another thread cannot stand in for the calling one.
var errElsewhere = errors.New("the thread is in other namespaces")

// startThereAndBack starts a command in a PID namespace from the calling thread,
// which must be locked, and then returns the thread to where it was. It does not
// even start out if the kernel would refuse the way back.
func startThereAndBack(cmd *exec.Cmd, pid *os.File) error {
	if pid == nil {
		return cmd.Start()
	}
	home, err := os.Open("/proc/thread-self/ns/pid_for_children")
	if err != nil {
		return err
	}
	defer home.Close()
	if err := moveChildrenTo(home); err != nil {
		return err
	}
	err = startIn(cmd, pid)
	if err := moveChildrenTo(home); err != nil {
		panic("gons/reexec: ReexecAction.Run: the calling thread cannot return to its PID namespace: " + err.Error())
	}
	return err
}

// startIn starts a command in a PID namespace, if there is one, to which the
// calling thread moves for its children.
func startIn(cmd *exec.Cmd, pid *os.File) error {
	if pid == nil {
		return cmd.Start()
	}
	if err := moveChildrenTo(pid); err != nil {
		return err
	}
	err := cmd.Start()
	if errors.Is(err, unix.ENOMEM) {
		return deadPIDError(pid.Name(), err)
	}
	return err
}

// moveChildrenTo has the calling thread's children be born in a PID namespace.
func moveChildrenTo(pid *os.File) error {
	if err := unix.Setns(int(pid.Fd()), unix.CLONE_NEWPID); err != nil {
		return newJoinError("cannot join gons_pid using reference %q: %w", pid.Name(), err)
	}
	return nil
}

// deadPIDError says why no process can be born in a PID namespace.
func deadPIDError(path string, err error) error {
	return newJoinError("cannot join gons_pid using reference %q: "+
		"its first process has ended, or memory is short: %w", path, err)
}

// surroundings describes what a child inherits from the calling thread, and in
// which threads of a process may differ: namespaces, root, working directory,
// credentials, and what restricts it.
func surroundings() string {
	var all strings.Builder
	for _, name := range []string{
		"ns/cgroup", "ns/ipc", "ns/mnt", "ns/net", "ns/pid_for_children",
		"ns/time_for_children", "ns/uts", "root", "cwd",
	} {
		target, err := os.Readlink("/proc/thread-self/" + name)
		if err != nil {
			target = "unknown" // as a kernel without this type has it
		}
		all.WriteString(target + "\n")
	}
	label, _ := os.ReadFile("/proc/thread-self/attr/exec") // of a security module, if there is one
	all.Write(label)
	status, _ := os.ReadFile("/proc/thread-self/status")
	for line := range strings.Lines(string(status)) {
		switch field, _, _ := strings.Cut(line, ":"); field {
		case "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Seccomp_filters",
			"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
			all.WriteString(line)
		}
	}
	return all.String()
}
