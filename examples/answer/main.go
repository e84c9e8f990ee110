// Command answer is the smallest whole program: it asks a copy of itself for the
// answer. Run it with
//
//	go run ./examples/answer
package main

import (
	"fmt"
	"log"

	"example.com/gons/reexec"
)

func init() {
	reexec.Register("answer", func() { fmt.Println(42) })
}

func main() {
	reexec.CheckAction()
	var answer int
	if err := reexec.RunReexecAction("answer", reexec.Result(&answer)); err != nil {
		log.Fatal(err)
	}
	fmt.Println("The answer is", answer)
}
