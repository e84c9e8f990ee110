// Program original runs actions by github.com/thediveo/gons/reexec. It has nothing
// to do with this module's package, which would take part in its start.
package main

import (
	"github.com/thediveo/gons/reexec"

	"example.com/gons/reexec/internal/benchmark/driver"
)

func init() {
	reexec.Register("classic trivial", driver.Trivial)
	reexec.Register("classic echo", driver.Echo)
}

func main() {
	reexec.CheckAction()
	driver.Serve(driver.Kinds{
		"trivial": func() error {
			var result string
			err := reexec.RunReexecAction("classic trivial", reexec.Result(&result))
			return driver.Check(result, driver.Done, err)
		},
		"echo": func() error {
			var result string
			err := reexec.RunReexecAction("classic echo", reexec.Param(driver.Large()), reexec.Result(&result))
			return driver.Check(result, driver.Large(), err)
		},
	})
}
