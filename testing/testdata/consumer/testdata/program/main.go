// Program runs an action in the namespaces that CONSUMER_NAMESPACES tells: TYPE=PATH,TYPE=PATH. With
// the argument "exit" that is one which ends in os.Exit. With "stderr" it has
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
	action := "answer"
	if len(os.Args) > 1 {
		action = os.Args[1]
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
	for ns := range strings.SplitSeq(os.Getenv("CONSUMER_NAMESPACES"), ",") {
		if kind, path, ok := strings.Cut(ns, "="); ok {
			namespaces = append(namespaces, reexec.Namespace{Type: kind, Path: path})
		}
	}
	var wd string
	must(reexec.RunReexecAction(action, reexec.Namespaces(namespaces), reexec.Result(&wd)))
	fmt.Println(wd)
}
