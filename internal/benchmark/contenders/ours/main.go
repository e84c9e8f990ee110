// Program ours runs actions and functions by this module's package, and what they are compared
// with, so that this is measured in the very same program.
package main

import (
	"context"
	"os"
	"sync"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/benchmark/driver"
)

var (
	trivial = reexec.RegisterFunc("trivial", func(struct{}) (string, error) { return driver.Done, nil })
	echo    = reexec.RegisterFunc("echo", func(param string) (string, error) { return param, nil })
	bytes   = reexec.RegisterFunc("bytes", func(param []byte) ([]byte, error) { return param, nil })
	rows    = reexec.RegisterFunc("rows", func(param []driver.Row) ([]driver.Row, error) { return param, nil })
	read    = reexec.RegisterFunc("read", os.ReadFile)
	netLink = reexec.RegisterFunc("net link", func(struct{}) (string, error) { return driver.NetLink() })
	open    = reexec.RegisterFunc("open", os.Open)
	events  = reexec.RegisterStream("events", func(_ context.Context, _ struct{}, yield func(driver.Event) bool) error {
		for n := range driver.Events {
			if !yield(driver.NewEvent(n)) {
				break
			}
		}
		return nil
	})
)

func init() {
	reexec.Register("classic trivial", driver.Trivial)
	reexec.Register("classic echo", driver.Echo)
}

var ctx = context.Background()

func main() {
	driver.Alone()
	reexec.CheckAction()
	defer driver.CleanUp()
	answer := once(trivial, nothing)
	answer16 := once(trivial, func() ([]reexec.ReexecActionOption, error) {
		return []reexec.ReexecActionOption{reexec.Concurrency(16)}, nil
	})
	ask := func() error {
		result, err := answer(struct{}{})
		return driver.Check(result, driver.Done, err)
	}
	ask16 := func() error {
		result, err := answer16(struct{}{})
		return driver.Check(result, driver.Done, err)
	}
	warmBytes, warmRows := once(bytes, nothing), once(rows, nothing)
	inMount := func() (reexec.ReexecActionOption, error) {
		there, err := driver.WithFile()
		if err != nil {
			return nil, err
		}
		if os.Geteuid() == 0 {
			return reexec.Target(there.PID, "mnt"), nil
		}
		return reexec.Target(there.PID, "user", "mnt"), nil
	}
	inNet := sync.OnceValues(func() ([]reexec.ReexecActionOption, error) {
		there, err := driver.Neighbour()
		if err != nil {
			return nil, err
		}
		if os.Geteuid() == 0 {
			return []reexec.ReexecActionOption{reexec.Target(there.PID, "net")}, nil
		}
		return []reexec.ReexecActionOption{reexec.Target(there.PID, "user", "net")}, nil
	})
	warmNetLink := once(netLink, inNet)
	inAll := sync.OnceValues(func() (reexec.ReexecActionOption, error) {
		there, err := driver.Neighbour()
		if err != nil {
			return nil, err
		}
		return reexec.Target(there.PID), nil
	})
	driver.Serve(driver.Kinds{
		"trivial": func() error {
			var result string
			err := reexec.RunReexecAction("classic trivial", reexec.Result(&result))
			return driver.Check(result, driver.Done, err)
		},
		"floor": driver.Floor,
		"echo": func() error {
			var result string
			err := reexec.RunReexecAction("classic echo", reexec.Param(driver.Large()), reexec.Result(&result))
			return driver.Check(result, driver.Large(), err)
		},
		"inside": func() error {
			there, err := inAll()
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
		"warm":      ask,
		"ping-pong": driver.PingPong,

		"call echo": func() error {
			result, err := echo.Call(ctx, driver.Large())
			return driver.Check(result, driver.Large(), err)
		},
		"warm bytes": func() error {
			result, err := warmBytes(driver.LargeBytes())
			return driver.CheckBytes(result, len(driver.LargeBytes()), err)
		},
		"bytes": driver.Bytes,
		"warm rows": func() error {
			result, err := warmRows(driver.Rows())
			return driver.CheckRows(result, err)
		},
		"json rows": driver.RowsJSON,

		"net": func() error {
			there, err := inNet()
			if err != nil {
				return err
			}
			result, err := netLink.Call(ctx, struct{}{}, there...)
			return checkNet(result, err)
		},
		"warm net": func() error { result, err := warmNetLink(struct{}{}); return checkNet(result, err) },
		"thread":   driver.Thread,
		"nsenter":  driver.Nsenter,

		"1 caller":         func() error { return driver.Callers(1, ask) },
		"16 callers":       func() error { return driver.Callers(16, ask) },
		"16 at a time":     func() error { return driver.Callers(16, ask16) },
		"ping-pong caller": func() error { return driver.Callers(1, driver.PingPong) },

		"events": readEvents,
		"lines":  driver.Lines,

		"file": func() error {
			there, err := inMount()
			if err != nil {
				return err
			}
			f, err := open.Call(ctx, driver.File, there)
			if err != nil {
				return err
			}
			return driver.CopyFrom(f)
		},
		"read": func() error {
			there, err := inMount()
			if err != nil {
				return err
			}
			result, err := read.Call(ctx, driver.File, there)
			return driver.CheckBytes(result, driver.FileSize, err)
		},
		"cp":     driver.Cp,
		"direct": driver.Direct,
	})
}

func nothing() ([]reexec.ReexecActionOption, error) { return nil, nil }

// once returns a function that calls a worker, which is started the first time.
func once[P, R any](f reexec.Func[P, R], options func() ([]reexec.ReexecActionOption, error)) func(P) (R, error) {
	start := sync.OnceValues(func() (*reexec.Worker[P, R], error) {
		options, err := options()
		if err != nil {
			return nil, err
		}
		restore := driver.Elsewhere()
		defer restore()
		return f.Start(ctx, options...)
	})
	return func(param P) (result R, err error) {
		worker, err := start()
		if err != nil {
			return result, err
		}
		return worker.Call(ctx, param)
	}
}

func checkNet(link string, err error) error {
	there, neighbourErr := driver.Neighbour()
	if neighbourErr != nil {
		return neighbourErr
	}
	return driver.Check(link, there.Net, err)
}

// readEvents reads the events of a stream whose child runs elsewhere.
func readEvents() error {
	restore := sync.OnceFunc(driver.Elsewhere())
	defer restore()
	var last driver.Event
	n := 0
	for event, err := range events.Call(ctx, struct{}{}) {
		restore() // the child has been started
		if err != nil {
			return err
		}
		last = event
		n++
	}
	return driver.CheckEvents(n, last, nil)
}
