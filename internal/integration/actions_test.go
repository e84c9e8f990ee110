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
			for range 64 {
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

// leaveDescendant starts a process that keeps stdout and stderr, and does nothing, and
// returns its PID.
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

// answer answers a value.
func answer(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		fmt.Fprint(os.Stderr, err)
	}
}

// param returns the parameter.
func param() (value any) {
	if err := json.NewDecoder(os.Stdin).Decode(&value); err != nil {
		fmt.Fprint(os.Stderr, err)
	}
	return value
}
