package driver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// AloneVar, if set, says what a child does that has nothing to do with any
// contender.
const AloneVar = "BENCHMARK_ALONE"

// Alone has to come first in main. It plays the child of Floor, PingPong, Bytes and Lines, and
// the Neighbour.
func Alone() {
	switch os.Getenv(AloneVar) {
	case "exit":
		os.Exit(0)
	case "stay":
		if err := furnish(); err != nil {
			fmt.Fprintln(os.Stderr, "neighbour:", err)
			os.Exit(1)
		}
		fmt.Println("ready")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the driver ends
		os.Exit(0)
	case "pong":
		in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
		for {
			var param struct{}
			if in.Decode(&param) != nil {
				os.Exit(0)
			}
			_ = out.Encode(Done)
		}
	case "bytes":
		b := make([]byte, len(LargeBytes()))
		for {
			if _, err := io.ReadFull(os.Stdin, b); err != nil {
				os.Exit(0)
			}
			_, _ = os.Stdout.Write(b)
		}
	case "lines":
		out := json.NewEncoder(os.Stdout)
		for n := range Events {
			_ = out.Encode(NewEvent(n))
		}
		os.Exit(0)
	}
}

func alone(what string) *exec.Cmd {
	return &exec.Cmd{Path: "/proc/self/exe", Args: os.Args[:1], Env: append(os.Environ(), AloneVar+"="+what)}
}

// Floor starts this program to do nothing, and reads what it does not write.
func Floor() error {
	var stdout, stderr bytes.Buffer
	cmd := alone("exit")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	return cmd.Run()
}

// PingPong sends a child, the same one each time, JSON and receives JSON.
func PingPong() error { return pingPong()() }

var pingPong = sync.OnceValue(func() func() error {
	cmd := alone("pong")
	stdin, err := cmd.StdinPipe()
	var stdout io.Reader
	if err == nil {
		stdout, err = cmd.StdoutPipe()
	}
	if err == nil {
		restore := Elsewhere()
		err = cmd.Start()
		restore()
	}
	if err != nil {
		return func() error { return err }
	}
	in, out := json.NewDecoder(stdout), json.NewEncoder(stdin)
	return func() error {
		if err := out.Encode(struct{}{}); err != nil {
			return err
		}
		var result string
		err := in.Decode(&result)
		return Check(result, Done, err)
	}
})

// Bytes sends a child, the same one each time, LargeBytes, and receives them.
func Bytes() error { return exchange()() }

var exchange = sync.OnceValue(func() func() error {
	cmd := alone("bytes")
	stdin, err := cmd.StdinPipe()
	var stdout io.Reader
	if err == nil {
		stdout, err = cmd.StdoutPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return func() error { return err }
	}
	b := make([]byte, len(LargeBytes()))
	return func() error {
		if _, err := stdin.Write(LargeBytes()); err != nil {
			return err
		}
		_, err := io.ReadFull(stdout, b)
		return err
	}
})

// Calls is how many calls are measured together where it is calls per second that matter.
const Calls = 4000

// Callers has so many goroutines make calls, of which there are Calls in all.
func Callers(n int, call func() error) error {
	return atATime(n, func() error {
		for range Calls / n {
			if err := call(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Events is how many events a stream has.
const Events = 40_000

// An Event is what a stream tells.
type Event struct {
	Number    int
	Interface string
	Up        bool
}

// NewEvent makes an event.
func NewEvent(number int) Event { return Event{Number: number, Interface: "eth0", Up: number%2 == 0} }

// CheckEvents returns an error unless a stream has been read to its end.
func CheckEvents(n int, last Event, err error) error {
	if err == nil && (n != Events || last != NewEvent(Events-1)) {
		err = fmt.Errorf("%d events, the last one %v", n, last)
	}
	return err
}

// Lines reads JSON, a line each event, that a child of its own writes to a pipe.
func Lines() error {
	cmd := alone("lines")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	restore := Elsewhere()
	err = cmd.Start()
	restore()
	if err != nil {
		return err
	}
	in := json.NewDecoder(stdout)
	var event Event
	n := 0
	for {
		if err = in.Decode(&event); err != nil {
			break
		}
		n++
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(CheckEvents(n, event, err), cmd.Wait())
}

// A Place is a process to be visited, in namespaces of its own.
type Place struct {
	PID  int
	Net  string // its network namespace, as readlink tells
	stay io.Closer
}

// Neighbour starts a process to be visited, as an ordinary user can: one that is root
// of a new user namespace, and in new namespaces of all types that belong to it. It
// ends with this program.
func Neighbour() (*Place, error) { return neighbour() }

var neighbour = sync.OnceValues(func() (*Place, error) {
	cmd := alone("stay")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWCGROUP | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	stay, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	ready, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start a process in new namespaces: %w", err)
	}
	if _, err := io.ReadFull(ready, make([]byte, len("ready\n"))); err != nil {
		return nil, fmt.Errorf("process in new namespaces: %w", err)
	}
	net, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	return &Place{PID: cmd.Process.Pid, Net: net, stay: stay}, err
})

// furnish makes a file that only the neighbour can open by its name.
func furnish() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", furnished, "tmpfs", 0, ""); err != nil {
		return err
	}
	if os.Getenv(fileVar) == "" {
		return nil
	}
	return os.WriteFile(File, []byte(strings.Repeat("0123456789abcdef", FileSize/16)), 0o600)
}
