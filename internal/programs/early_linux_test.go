package programs

import (
	"encoding/json"
	"os"
	"path/filepath"

	"example.com/gons/reexec/internal/specs"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// initialiserPackage is a dependency whose init function comes ahead of those of this package. It looks around, and in a child
// starts another program, and clears the environment.
const initialiserPackage = `package early

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Captured is the environment.
var Captured = os.Environ()

// Seen is what the process has seen.
var Seen Sight

// A Sight is what a process sees.
type Sight struct {
	Orders  []string // variables that are the parent's orders
	Files   []string // files that a program would inherit, but for stdin, stdout and stderr
	Program string   // what the other program has printed
}

// Orders returns the orders among variables.
func Orders(env []string) (orders []string) {
	for _, variable := range env {
		if strings.HasPrefix(variable, "gons_") {
			orders = append(orders, variable)
		}
	}
	return orders
}

func init() {
	Seen.Orders = Orders(Captured)
	for fd := 3; fd < 100; fd++ {
		if flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); errno == 0 && flags == 0 {
			file, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
			Seen.Files = append(Seen.Files, file)
		}
	}
	if name, _ := os.ReadFile("/proc/self/comm"); string(name) == filepath.Base(os.Args[0])+"\n" {
		return // a child has its program's name only once it has taken its orders
	}
	out, err := exec.Command(os.Getenv("OTHER")).CombinedOutput()
	Seen.Program = string(out)
	if err != nil {
		Seen.Program += err.Error()
	}
	os.Clearenv()
}
`

// otherProgram is what that starts: its actions have the same names, in either package.
const otherProgram = `package main

import (
	"fmt"

	"example.com/gons/reexec"
	original "github.com/thediveo/gons/reexec"
)

func init() {
	for _, name := range []string{"seen", "function"} {
		reexec.Register(name, func() { fmt.Print("not this action") })
		original.Register(name, func() { fmt.Print("not this one, either") })
	}
}

func main() {
	original.CheckAction()
	reexec.CheckAction()
	fmt.Print("main")
}
`

// afterProgram tells what its children have seen before their actions run.
const afterProgram = `package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"an.example/consumer/early"
	"example.com/gons/reexec"
)

type seen struct {
	Early    early.Sight
	HandedOn []string // orders that a program sees which gets the environment of then
}

func look() seen {
	env := exec.Command("/usr/bin/env")
	env.Env = append(early.Captured, "more=1")
	out, err := env.Output()
	if err != nil {
		panic(err)
	}
	return seen{early.Seen, early.Orders(strings.Split(string(out), "\n"))}
}

var function = reexec.RegisterFunc("function", func(struct{}) (seen, error) { return look(), nil })

func init() { reexec.Register("seen", func() { json.NewEncoder(os.Stdout).Encode(look()) }) }

func main() {
	reexec.CheckAction()
	if os.Getenv("OTHER") == "" {
		fmt.Fprint(os.Stderr, "a child runs main")
		os.Exit(3)
	}
	var namespaces []reexec.Namespace
	for _, ns := range strings.Fields(os.Getenv("VISIT")) {
		typ, path, _ := strings.Cut(ns, "=")
		namespaces = append(namespaces, reexec.Namespace{Type: typ, Path: path})
	}
	options := []reexec.ReexecActionOption{reexec.Namespaces(namespaces), reexec.Sealed(), reexec.Cmd(func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	})}
	ctx := context.Background()
	all := []seen{{Early: early.Seen}}
	add := func(s seen, err error) {
		if err != nil {
			panic(err)
		}
		all = append(all, s)
	}
	var s seen
	err := reexec.RunReexecAction("seen", append(options, reexec.Result(&s))...)
	add(s, err)
	add(function.Call(ctx, struct{}{}, options...))
	worker, err := function.Start(ctx, options...)
	if err != nil {
		panic(err)
	}
	add(worker.Call(ctx, struct{}{}))
	if err := worker.Close(); err != nil {
		panic(err)
	}
	json.NewEncoder(os.Stdout).Encode(all)
}
`

var _ = Describe("a package that is initialised before this one", func() {

	It("sees, hands on and loses nothing of the orders of a child", func() {
		c := newConsumer(map[string]string{"main.go": afterProgram})
		for dir, file := range map[string]string{"early": initialiserPackage, "other": otherProgram} {
			Expect(os.Mkdir(filepath.Join(c.dir, dir), 0o755)).To(Succeed())
			c.write(filepath.Join(dir, "it.go"), file)
		}
		c.run(nil, "go", "mod", "edit", "-module=an.example/consumer", "-require=github.com/thediveo/gons@v0.9.9")
		c.settle()
		program, other := filepath.Join(c.dir, "program"), filepath.Join(c.dir, "another")
		for out, pkg := range map[string]string{program: ".", other: "./other"} {
			c.run([]string{"CGO_ENABLED=1"}, "go", "build", "-o", out, pkg)
		}

		kinds := []string{"user", "net", "pid", "time"}
		n := specs.NewNeighbour(kinds...)
		there := ""
		for _, kind := range kinds {
			there += " !" + kind + "=" + n.Path(kind)
		}
		for _, visit := range []string{"", there} {
			var all []struct {
				Early struct {
					Orders, Files []string
					Program       string
				}
				HandedOn []string
			}
			out := c.run([]string{"VISIT=" + visit, "OTHER=" + other, "GOCOVERDIR="}, program)
			Expect(json.Unmarshal([]byte(out), &all)).To(Succeed(), out)
			Expect(all).To(HaveLen(4))
			for _, seen := range all[1:] {
				Expect(seen.Early.Program).To(Equal("main"))
				Expect(seen.Early.Orders).To(BeEmpty())
				Expect(seen.Early.Files).To(Equal(all[0].Early.Files), "what the parent itself has inherited")
				Expect(seen.HandedOn).To(BeEmpty())
			}
		}
	})

})
