package integration

import (
	"strconv"

	"example.com/gons/reexec"
)

// asParent makes a main function of a parent: its children run their actions.
func asParent(main func(args []string)) func(args []string) {
	return func(args []string) {
		reexec.CheckAction()
		main(args)
	}
}

// atoi returns a number that is known to be one.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func itoa(n int) string { return strconv.Itoa(n) }
