// Program runs an action in the namespaces that its arguments tell: TYPE=PATH. With
// the first argument "exit" that is one which ends in os.Exit. With "stderr" it has
// what its child writes to stderr, with or without a function, as its only output.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"example.com/consumer"
	"example.com/gons/reexec"
)

func init() {
	reexec.Register("answer", func() {
		wd, err := os.Getwd()
		if err != nil {
			panic(err)
		}
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

func stderr() error {
	var heard strings.Builder
	if err := reexec.RunReexecAction("answer", reexec.Stderr(&heard)); err != nil {
		return err
	}
	if _, err := function.Call(context.Background(), struct{}{}, reexec.Stderr(&heard)); err != nil {
		return err
	}
	fmt.Print(heard.String())
	return nil
}

func main() {
	reexec.CheckAction()
	consumer.Parent()
	if len(os.Args) > 1 && os.Args[1] == "stderr" {
		if err := stderr(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var namespaces []reexec.Namespace
	action, args := "answer", os.Args[1:]
	if len(args) > 0 && args[0] == "exit" {
		action, args = args[0], args[1:]
	}
	for _, arg := range args {
		kind, path, _ := strings.Cut(arg, "=")
		namespaces = append(namespaces, reexec.Namespace{Type: kind, Path: path})
	}
	var wd string
	if err := reexec.RunReexecAction(action, reexec.Namespaces(namespaces), reexec.Result(&wd)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(wd)
}
