// Program ours runs actions and functions by this module's package.
package main

import (
	"context"
	"sync"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/benchmark/driver"
)

var (
	trivial = reexec.RegisterFunc("trivial", func(struct{}) (string, error) { return driver.Done, nil })
	echo    = reexec.RegisterFunc("echo", func(param string) (string, error) { return param, nil })
)

func init() {
	reexec.Register("classic trivial", driver.Trivial)
	reexec.Register("classic echo", driver.Echo)
}

func main() {
	driver.Alone()
	reexec.CheckAction()
	ctx := context.Background()
	trivials := sync.OnceValues(func() (*reexec.Worker[struct{}, string], error) { return trivial.Start(ctx) })
	neighbour := sync.OnceValues(func() (reexec.ReexecActionOption, error) {
		pid, err := driver.Neighbour()
		return reexec.Target(pid), err
	})
	echos := sync.OnceValues(func() (*reexec.Worker[string, string], error) { return echo.Start(ctx) })
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
		"inside": func() error {
			there, err := neighbour()
			if err != nil {
				return err
			}
			var result string
			err = reexec.RunReexecAction("classic trivial", there, reexec.Result(&result))
			return driver.Check(result, driver.Done, err)
		},
		"call": func() error {
			result, err := trivial.Call(ctx, struct{}{})
			return driver.Check(result, driver.Done, err)
		},
		"warm": func() error {
			worker, err := trivials()
			if err != nil {
				return err
			}
			result, err := worker.Call(ctx, struct{}{})
			return driver.Check(result, driver.Done, err)
		},
		"call echo": func() error {
			result, err := echo.Call(ctx, driver.Large())
			return driver.Check(result, driver.Large(), err)
		},
		"warm echo": func() error {
			worker, err := echos()
			if err != nil {
				return err
			}
			result, err := worker.Call(ctx, driver.Large())
			return driver.Check(result, driver.Large(), err)
		},
		// What ours is compared with is measured in the very same program.
		"floor":     driver.Floor,
		"ping-pong": driver.PingPong,
		"json":      driver.JSON,
	})
}
