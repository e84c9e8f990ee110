package reexec_test

import (
	"fmt"
	"os"
	"strconv"

	"example.com/gons/reexec"
)

// beOther has this process do something else than testing, if a variable says so.
func beOther() {
	beNeighbour()
	switch {
	case os.Getenv(runActionVar) != "":
		fmt.Println(reexec.RunAction())
		os.Exit(0)
	case os.Getenv(notEnabledVar) != "":
		_ = reexec.RunReexecAction("answer")
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
