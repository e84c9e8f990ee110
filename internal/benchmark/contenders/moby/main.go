// Program moby runs actions by github.com/moby/sys/reexec, which just starts
// them: what travels over the pipes is written by hand here.
package main

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/moby/sys/reexec"
	_ "github.com/thediveo/gons" // as the others, for a start that takes as long

	"example.com/gons/reexec/internal/benchmark/driver"
)

func init() {
	reexec.Register("classic trivial", driver.Trivial)
	reexec.Register("classic echo", driver.Echo)
}

func main() {
	if reexec.Init() {
		return
	}
	driver.Serve(driver.Kinds{
		"trivial": func() error {
			result, err := run("classic trivial", nil)
			return driver.Check(result, driver.Done, err)
		},
		"echo": func() error {
			result, err := run("classic echo", driver.Large())
			return driver.Check(result, driver.Large(), err)
		},
	})
}

func run(name string, param any) (result string, err error) {
	cmd := reexec.Command(name)
	if param != nil {
		data, err := json.Marshal(param)
		if err != nil {
			return "", err
		}
		cmd.Stdin = bytes.NewReader(data)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	err = json.NewDecoder(stdout).Decode(&result)
	err = errors.Join(err, cmd.Wait())
	if stderr.Len() > 0 {
		err = errors.Join(err, errors.New(stderr.String()))
	}
	return result, err
}
