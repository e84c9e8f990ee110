package programs

import (
	"os"
	"path/filepath"
	"strings"

	"example.com/gons/reexec/internal/specs"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// bothProgram uses this package and the original, in which actions of the same name are
// something else.
const bothProgram = `package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"example.com/gons/reexec"
	original "github.com/thediveo/gons/reexec"
)

func tell(who string) func() {
	return func() {
		network, _ := os.Readlink("/proc/self/ns/net")
		json.NewEncoder(os.Stdout).Encode(who + " " + network)
	}
}

var function = reexec.RegisterFunc("function", func(struct{}) (string, error) {
	network, _ := os.Readlink("/proc/self/ns/net")
	return "our function " + network, nil
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

	var ours []reexec.Namespace
	var theirs []original.Namespace
	for _, ns := range strings.Fields(os.Getenv("VISIT")) {
		typ, path, _ := strings.Cut(ns, "=")
		ours = append(ours, reexec.Namespace{Type: typ, Path: path})
		theirs = append(theirs, original.Namespace{Type: typ, Path: path})
	}
	var who string
	for _, name := range []string{"who", "only ours"} {
		err := reexec.RunReexecAction(name, reexec.Namespaces(ours), reexec.Result(&who))
		fmt.Println(who, err)
	}
	for _, name := range []string{"who", "only the original's"} {
		err := original.RunReexecAction(name, original.Namespaces(theirs), original.Result(&who))
		fmt.Println(who, err)
	}
	fmt.Println(function.Call(context.Background(), struct{}{}, reexec.Namespaces(ours)))
	worker, err := function.Start(context.Background(), reexec.Namespaces(ours))
	if err != nil {
		panic(err)
	}
	fmt.Println(worker.Call(context.Background(), struct{}{}))
	fmt.Println(worker.Close())
}
`

// earlyPackage is a dependency that has not moved, and whose init function comes ahead of those of this package.
// There it calls the original's CheckAction, and then runs an action that has the name of one of ours. The children
// of that, if taken for ours, would start children again, and so on without end: hence the limit.
const earlyPackage = `package early

import (
	"fmt"
	"os"
	"strconv"

	original "github.com/thediveo/gons/reexec"
)

// Found is the action's answer.
var Found string

// First tells that this is a child of ours, which has not taken its orders yet.
var First bool

func init() {
	original.Register("who", func() { fmt.Print("\"found\"") })
	original.CheckAction()
	name, _ := os.ReadFile("/proc/self/comm")
	First = string(name) == "exe\n" // a child gets its program's name together with its orders

	depth, _ := strconv.Atoi(os.Getenv("DEPTH"))
	if depth > 2 {
		panic("a child of the original does not know what it is")
	}
	os.Setenv("DEPTH", strconv.Itoa(depth+1))
	if err := original.RunReexecAction("who", original.Result(&Found)); err != nil {
		panic(err)
	}
	os.Unsetenv("DEPTH")
}

// Find runs the action once more.
func Find() (found string, err error) {
	err = original.RunReexecAction("who", original.Result(&found))
	return found, err
}
`

// lateProgram has that dependency, and actions with strange names.
const lateProgram = `package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"an.example/consumer/early"
	"example.com/gons/reexec"
)

const odd = "=a strange\n\xffname "

func tell() string {
	network, _ := os.Readlink("/proc/self/ns/net")
	return fmt.Sprint("ours ", early.First, " ", early.Found, " ", network)
}

func init() {
	for _, name := range []string{"who", odd} {
		reexec.Register(name, func() { json.NewEncoder(os.Stdout).Encode(tell()) })
	}
}

var function = reexec.RegisterFunc(odd+"function", func(struct{}) (string, error) { return tell(), nil })

func main() {
	reexec.CheckAction()
	fmt.Println("main", early.First, early.Found) // must not come from any child
	fmt.Println(early.Find())

	var namespaces []reexec.Namespace
	for _, ns := range strings.Fields(os.Getenv("VISIT")) {
		typ, path, _ := strings.Cut(ns, "=")
		namespaces = append(namespaces, reexec.Namespace{Type: typ, Path: path})
	}
	for _, name := range []string{"who", odd} {
		var who string
		err := reexec.RunReexecAction(name, reexec.Namespaces(namespaces), reexec.Result(&who))
		fmt.Println(who, err)
	}
	fmt.Println(function.Call(context.Background(), struct{}{}, reexec.Namespaces(namespaces)))
}
`

var _ = Describe("a program that uses the original, too", func() {

	It("has children of both, each with its own actions", func() {
		program := newConsumer(map[string]string{"main.go": bothProgram})
		program.run(nil, "go", "mod", "edit", "-require=github.com/thediveo/gons@v0.9.9")
		program.run([]string{"CGO_ENABLED=1"}, "go", "build", "-o", "program")

		run := func(visit, id string) {
			GinkgoHelper()
			Expect(program.run([]string{"VISIT=" + visit}, filepath.Join(program.dir, "program"))).To(Equal(
				"main\n" +
					"ours " + id + " <nil>\nonly ours " + id + " <nil>\n" +
					"the original's " + id + " <nil>\nonly the original's " + id + " <nil>\n" +
					"our function " + id + " <nil>\nour function " + id + " <nil>\n<nil>\n"))
		}
		run("", specs.NamespaceID("self", "net"))
		n := specs.NewNeighbour("user", "net")
		run("!user="+n.Path("user")+" !net="+n.Path("net"), n.ID("net"))
	})

	It("may have a dependency that looks for an action of the original's before this package is initialised", func() {
		program := newConsumer(map[string]string{"main.go": lateProgram})
		Expect(os.Mkdir(filepath.Join(program.dir, "early"), 0o755)).To(Succeed())
		program.write("early/early.go", earlyPackage)
		program.run(nil, "go", "mod", "edit", "-module=an.example/consumer", "-require=github.com/thediveo/gons@v0.9.9")
		program.settle()

		n := specs.NewNeighbour("user", "net", "pid")
		visit := "!user=" + n.Path("user") + " !net=" + n.Path("net") + " !pid=" + n.Path("pid")
		program.run([]string{"CGO_ENABLED=1"}, "go", "build", "-o", "program")
		for visit, id := range map[string]string{"": specs.NamespaceID("self", "net"), visit: n.ID("net")} {
			Expect(program.run([]string{"VISIT=" + visit}, filepath.Join(program.dir, "program"))).To(Equal(
				"main false found\nfound <nil>\n"+strings.Repeat("ours true found "+id+" <nil>\n", 3)), "%q", visit)
		}
	})

})
