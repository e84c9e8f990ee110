package main

import (
	"fmt"

	"example.com/gons/reexec"
)

func init() { reexec.Register("hello", func() { fmt.Println(`"hello"`) }) }

func main() {
	reexec.CheckAction()
	var result string
	err := reexec.RunReexecAction("hello", reexec.Result(&result))
	fmt.Println(result, err)
}
