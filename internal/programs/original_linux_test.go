package programs

import (
	"path/filepath"

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

})
