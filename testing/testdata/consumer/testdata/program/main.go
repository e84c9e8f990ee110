// Program runs an action in the namespaces that its arguments tell: TYPE=PATH. With
// the first argument "exit" that is one which ends in os.Exit. With "stderr" it has
// what its child writes to stderr, with or without a function, as its only output.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"an.example/consumer"
	"example.com/gons/reexec"
)

func init() {
	reexec.Register("answer", func() {
		wd, err := os.Getwd()
		must(err)
		consumer.Child()
		fmt.Printf("%q", wd)
	})
	reexec.Register("exit", func() {
		consumer.Child()
		os.Exit(3)
	})
}

var function = reexec.RegisterFunc("function", func(struct{}) (string, error) {
	fmt.Fprintln(os.Stderr, "function")
	return consumer.Child(), nil
})

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	reexec.CheckAction()
	consumer.Parent()
	action, args := "answer", os.Args[1:]
	if len(args) > 0 && !strings.Contains(args[0], "=") {
		action, args = args[0], args[1:]
	}
	if action == "stderr" {
		var heard strings.Builder
		must(reexec.RunReexecAction("answer", reexec.Stderr(&heard)))
		_, err := function.Call(context.Background(), struct{}{}, reexec.Stderr(&heard))
		must(err)
		fmt.Print(heard.String())
		return
	}
	var namespaces []reexec.Namespace
	for _, arg := range args {
		kind, path, _ := strings.Cut(arg, "=")
		namespaces = append(namespaces, reexec.Namespace{Type: kind, Path: path})
	}
	var wd string
	must(reexec.RunReexecAction(action, reexec.Namespaces(namespaces), reexec.Result(&wd)))
	fmt.Println(wd)
}
