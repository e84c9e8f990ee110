package integration

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"
)

// Actions for specs that need Linux.
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
			noise.Stderr = os.Stderr
			noise.Stdout = os.Stderr
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
