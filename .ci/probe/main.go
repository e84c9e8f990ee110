// Command probe visits a process, such as the init of a container, with package reexec, and tells what works there:
//
//	probe PID
//	probe -stop COMMAND PID    while a shell command ends that process
//
// It prints one line a check: "ok NAME", "failed NAME: REASON" or "not applicable NAME: REASON". The last line counts them,
// and tells whether nsenter(1) gets in. The exit status is 1 if a check has failed. What nsenter cannot do either is not
// applicable.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"example.com/gons/reexec"
)

// limit is how long a check may take.
const limit = time.Minute

// notApplicable is why a check says nothing here.
type notApplicable string

func (n notApplicable) Error() string { return string(n) }

// A check returns nil, why it failed, or notApplicable.
type check struct {
	name string
	run  func(ctx context.Context, t *target) error
}

var counts struct{ ok, failed, notApplicable int }

func report(name string, took time.Duration, err error) {
	var reason notApplicable
	switch {
	case err == nil:
		counts.ok++
		fmt.Printf("ok %s (%d ms)\n", name, took.Milliseconds())
	case errors.As(err, &reason):
		counts.notApplicable++
		fmt.Printf("not applicable %s: %v\n", name, oneLine(err))
	default:
		counts.failed++
		fmt.Printf("failed %s: %v\n", name, oneLine(err))
	}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func main() {
	reexec.CheckAction()
	stop := flag.String("stop", "", "shell command that ends the process while it is visited")
	flag.Parse()
	pid, err := strconv.Atoi(flag.Arg(0))
	if err != nil || flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	warmUp()
	before := openFiles()
	t := &target{pid: pid}
	checks := visits
	if *stop != "" {
		checks = []check{{"calls while the process ends", func(ctx context.Context, t *target) error { return stopped(ctx, t, *stop) }}}
	}
	if t.run(check{"look at its namespaces", inspect}) && t.run(check{"join all", joinAll}) {
		for _, c := range checks {
			t.run(c)
		}
	}
	t.option = nil // which holds the process
	t.run(check{"nothing left behind", func(context.Context, *target) error { return nothingLeft(before) }})
	fmt.Printf("probe: %d ok, %d failed, %d not applicable; nsenter: %s\n", counts.ok, counts.failed, counts.notApplicable, t.nsenter)
	if counts.failed > 0 {
		os.Exit(1)
	}
}

// run runs a check, reports it, and tells whether it went well.
func (t *target) run(c check) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	start := time.Now()
	err := c.run(ctx, t)
	report(c.name, time.Since(start), err)
	return err == nil
}
