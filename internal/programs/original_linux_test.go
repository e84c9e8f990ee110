package programs

import (
	"encoding/json"
	"strings"

	"example.com/gons/reexec/internal/specs"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

const originalPath = "github.com/thediveo/gons/reexec"

// moveLine is all it takes to move a program from the original to this module.
// The README quotes it.
const moveLine = `grep -rl --include='*.go' github.com/thediveo/gons/reexec . | ` +
	`xargs -r sed -i 's#github.com/thediveo/gons/reexec#example.com/gons/reexec#g'`

// movedFile is written for the original, and visits.
const movedFile = `package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/thediveo/gons/reexec"
)

type greeting struct{ Text, Greeter, Network string }

func init() {
	reexec.Register("greet", func() {
		var name string
		must(json.NewDecoder(os.Stdin).Decode(&name))
		id, _ := network()
		json.NewEncoder(os.Stdout).Encode(greeting{"Hello " + name, os.Getenv("GREETER"), id})
	})
	reexec.Register("network", func() {
		id, _ := network()
		json.NewEncoder(os.Stdout).Encode(id)
	})
}

func greet(name string) (g greeting, err error) {
	err = reexec.RunReexecAction("greet", reexec.Namespaces(namespaces()), reexec.Param(name), reexec.Result(&g),
		reexec.Environment([]string{"GREETER=gopher"}))
	return g, err
}

func there() (id string, err error) {
	err = reexec.ForkReexec("network", namespaces(), &id)
	return id, err
}

func main() {
	reexec.CheckAction()
	fmt.Println(greet("world"))
	fmt.Println(there())
}
`

// movedTest tests that.
const movedTest = `package main

import (
	"os"
	"testing"

	rxtst "github.com/thediveo/gons/reexec/testing"
)

func TestMain(m *testing.M) {
	mm := &rxtst.M{M: m}
	os.Exit(mm.Run())
}

func TestGreet(t *testing.T) {
	g, err := greet("test")
	must(err)
	id, err := there()
	must(err)
	if own, _ := network(); g.Text != "Hello test" || g.Greeter != "gopher" || g.Network != id || id == own {
		t.Fatal(g, id, own)
	}
}
`

var _ = Describe("a program written for the original", func() {
	It("is moved to this module by one line", specs.Long, func() {
		program := newConsumer(map[string]string{"main.go": movedFile, "main_test.go": movedTest, "visit.go": strings.Replace(visitFile, "example.com/gons/reexec", originalPath, 1)})
		kinds := []string{"user", "net"}
		if specs.IsRoot() {
			kinds = kinds[1:]
		}
		n, visit := visit(kinds...)
		env := []string{cgo, visit}
		tryOut := func(testing, not string) {
			GinkgoHelper()
			var path string
			together(func() { path = program.program(cgo) }, func() {
				Expect(program.Run(env, "go", "test", "-vet=off", "-count=1", "-v")).To(ContainSubstring("--- PASS: TestGreet"))
			})
			Expect(program.Run(env, path)).To(Equal("{Hello world gopher " + n.ID("net") + "} <nil>\n" + n.ID("net") + " <nil>\n"))
			packages := strings.Fields(program.Run(env, "go", "list", "-deps", "-test"))
			Expect(packages).To(And(ContainElement(testing), Not(ContainElement(not))))
		}
		tryOut(originalPath+"/testing", "example.com/gons/reexec")
		program.Run(nil, "sh", "-c", moveLine)
		tryOut("example.com/gons/reexec/testing", originalPath)
	})

	It("is what the documentation says", func() {
		for _, page := range []string{"README.md", "docs/moving.md"} {
			Expect(read(page)).To(ContainSubstring("\n    " + moveLine + "\n"))
		}
	})
})

// bothFile uses this package and the original, in which actions of the same name are something else.
const bothFile = `package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"example.com/gons/reexec"
	original "github.com/thediveo/gons/reexec"
)

func tell(who string) func() {
	return func() {
		id, _ := network()
		json.NewEncoder(os.Stdout).Encode(who + " " + id)
	}
}

var function = reexec.RegisterFunc("function", func(struct{}) (string, error) {
	id, err := network()
	return "our function " + id, err
})

func init() {
	reexec.Register("who", tell("ours"))
	original.Register("who", tell("the original's"))
	reexec.Register("only ours", tell("only ours"))
	original.Register("only the original's", tell("only the original's"))
}

func main() {
	original.CheckAction()
	reexec.CheckAction()
	fmt.Println("main") // must not come from any child

	ours := reexec.Namespaces(namespaces())
	var theirs []original.Namespace
	for _, ns := range namespaces() {
		theirs = append(theirs, original.Namespace{Type: ns.Type, Path: ns.Path})
	}
	var who string
	for _, name := range []string{"who", "only ours"} {
		must(reexec.RunReexecAction(name, ours, reexec.Result(&who)))
		fmt.Println(who)
	}
	for _, name := range []string{"who", "only the original's"} {
		must(original.RunReexecAction(name, original.Namespaces(theirs), original.Result(&who)))
		fmt.Println(who)
	}
	fmt.Println(function.Call(context.Background(), struct{}{}, ours))
	worker, err := function.Start(context.Background(), ours)
	must(err)
	fmt.Println(worker.Call(context.Background(), struct{}{}))
	must(worker.Close())
}
`

// earlyFile is a dependency whose init function comes ahead of those of this package. It looks around, checks for an action
// of the original's, and runs one that has the name of one of ours. The children of that, if taken for ours, would start
// children again, and so on without end: hence the limit. In a child of ours it clears the environment.
const earlyFile = `package early

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	original "github.com/thediveo/gons/reexec"
)

// Captured is the environment.
var Captured = os.Environ()

// Seen is what the process has seen.
var Seen Sight

type Sight struct {
	Child  bool     // it has not taken its orders yet: with them it gets its program's name
	Orders []string // variables that are the parent's orders
	Files  []string // that a program would inherit, but for stdin, stdout and stderr
	Other  string   // what another program has printed
	Found  string   // the answer of the original's action
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

// Find runs the original's action.
func Find() (found string) {
	if err := original.RunReexecAction("who", original.Result(&found)); err != nil {
		panic(err)
	}
	return found
}

func init() {
	original.Register("who", func() { os.Stdout.WriteString("\"found\"") })
	original.CheckAction()
	Seen.Orders = Orders(Captured)
	for fd := 3; fd < 100; fd++ {
		if flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); errno == 0 && flags == 0 {
			file, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
			Seen.Files = append(Seen.Files, file)
		}
	}
	name, _ := os.ReadFile("/proc/self/comm")
	Seen.Child = string(name) != filepath.Base(os.Args[0])+"\n"
	out, err := exec.Command(os.Getenv("OTHER")).CombinedOutput()
	Seen.Other = string(out)
	if err != nil {
		Seen.Other += err.Error()
	}
	depth, _ := strconv.Atoi(os.Getenv("DEPTH"))
	if depth > 2 {
		panic("a child of the original does not know what it is")
	}
	os.Setenv("DEPTH", strconv.Itoa(depth+1))
	Seen.Found = Find()
	os.Unsetenv("DEPTH")
	if Seen.Child {
		os.Clearenv()
	}
}
`

// otherFile is what that starts: its actions have the same names, in either package.
const otherFile = `package main

import (
	"fmt"

	"example.com/gons/reexec"
	original "github.com/thediveo/gons/reexec"
)

func init() {
	for _, name := range []string{"who", "function"} {
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

// lateFile tells what its children have seen before their actions run, of which some have strange names.
const lateFile = `package main

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

const odd = "=a strange\n\xffname "

type seen struct {
	early.Sight
	HandedOn []string // orders that a program sees which gets the environment of then
	Network  string
}

func look() (s seen, err error) {
	env := exec.Command("/usr/bin/env")
	env.Env = append(early.Captured, "more=1")
	out, err := env.Output()
	must(err)
	id, err := network()
	return seen{early.Seen, early.Orders(strings.Split(string(out), "\n")), id}, err
}

var functions []reexec.Func[struct{}, seen]

func init() {
	for _, name := range []string{"who", odd} {
		reexec.Register(name, func() {
			s, _ := look()
			json.NewEncoder(os.Stdout).Encode(s)
		})
	}
	for _, name := range []string{"function", odd + "function"} {
		functions = append(functions, reexec.RegisterFunc(name, func(struct{}) (seen, error) { return look() }))
	}
}

func main() {
	reexec.CheckAction()
	if os.Getenv("OTHER") == "" {
		fmt.Fprint(os.Stderr, "a child runs main")
		os.Exit(3)
	}
	options := []reexec.ReexecActionOption{reexec.Namespaces(namespaces()), reexec.Sealed(), reexec.Cmd(func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	})}
	ctx := context.Background()
	all := []seen{{Sight: early.Seen, Network: early.Find()}}
	add := func(s seen, err error) {
		must(err)
		all = append(all, s)
	}
	for _, name := range []string{"who", odd} {
		var s seen
		must(reexec.RunReexecAction(name, append(options, reexec.Result(&s))...))
		all = append(all, s)
	}
	for _, function := range functions {
		add(function.Call(ctx, struct{}{}, options...))
		worker, err := function.Start(ctx, options...)
		must(err)
		add(worker.Call(ctx, struct{}{}))
		must(worker.Close())
	}
	json.NewEncoder(os.Stdout).Encode(all)
}
`

var _ = Describe("a program that uses the original, too", func() {
	It("has children of both, each with its own actions", func() {
		program := newConsumer(map[string]string{"main.go": bothFile, "visit.go": visitFile})
		path := program.program(cgo, "-ldflags=-w")
		n, there := visit("user", "net")
		for visit, id := range map[string]string{"VISIT=": specs.NamespaceID("self", "net"), there: n.ID("net")} {
			Expect(program.Run([]string{visit}, path)).To(Equal("main\n" +
				"ours " + id + "\nonly ours " + id + "\nthe original's " + id + "\nonly the original's " + id + "\n" +
				"our function " + id + " <nil>\nour function " + id + " <nil>\n"))
		}
	})

	It("may have a dependency that, before this package is initialised, sees, hands on and loses no orders, and runs actions of the original's", func() {
		c := newConsumer(map[string]string{"main.go": lateFile, "visit.go": visitFile, "early/early.go": earlyFile, "cmd/other/main.go": otherFile})
		c.build(cgo, "go", "build", "-ldflags=-w", "-o", ".", "./...")
		n, there := visit("user", "net", "pid", "time")
		for visit, id := range map[string]string{"VISIT=": specs.NamespaceID("self", "net"), there: n.ID("net")} {
			var all []struct {
				Child                   bool
				Orders, Files, HandedOn []string
				Other, Found, Network   string
			}
			out := c.Run([]string{visit, "OTHER=" + c.Dir + "/other"}, c.Dir+"/consumer")
			Expect(json.Unmarshal([]byte(out), &all)).To(Succeed(), out)
			Expect(all).To(HaveLen(1 + 6))
			want := all[0] // what the parent itself has inherited
			Expect(want.Child).To(BeFalse())
			Expect([]string{want.Other, want.Found, want.Network}).To(Equal([]string{"main", "found", "found"}))
			Expect(append(want.Orders, want.HandedOn...)).To(BeEmpty())
			want.Child, want.Network = true, id
			Expect(all[1:]).To(HaveEach(want))
		}
	})
})
