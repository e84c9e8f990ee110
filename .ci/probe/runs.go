package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"example.com/gons/reexec"
)

func calls(ctx context.Context, t *target) error {
	worker, err := double.Start(ctx, t.option...)
	if err != nil {
		return err
	}
	defer worker.Close()
	for i := range 1000 {
		if n, err := worker.Call(ctx, i); err != nil || n != 2*i {
			return fmt.Errorf("call %d: %d, %w", i, n, err)
		}
	}
	return worker.Close()
}

func streams(ctx context.Context, t *target) error {
	for _, last := range []int{999, 3} { // to the end, and then out of the loop
		i := 0
		for n, err := range count.Call(ctx, 1000, t.option...) {
			if err != nil || n != i {
				return fmt.Errorf("event %d: %d, %w", i, n, err)
			}
			if i == last {
				break
			}
			i++
		}
		if i < last {
			return fmt.Errorf("%d events", i)
		}
	}
	return nil
}

func timeLimit(ctx context.Context, t *target) error {
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := sleep.Call(short, limit, t.option...)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > limit/2 {
		return fmt.Errorf("after %v: %w", time.Since(began), err)
	}
	return nil
}

func sealed(ctx context.Context, t *target) error {
	worker, err := dumpable.Start(ctx, append(slices.Clip(t.option), reexec.Sealed())...)
	if err != nil {
		return err
	}
	defer worker.Close()
	if err := t.arrived(ctx, worker); err != nil {
		return err
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", worker.PID()))
	if err == nil && !strings.HasPrefix(program, "/memfd:") {
		err = fmt.Errorf("child runs from %s", program)
	}
	return errors.Join(err, worker.Close())
}

// stopped ends the process while it is visited.
func stopped(ctx context.Context, t *target, command string) error {
	if !t.foreign["pid"] {
		return notApplicable("nothing ends with a process that has no PID namespace of its own")
	}
	worker, err := sleep.Start(ctx, t.option...)
	if err != nil {
		return err
	}
	defer worker.Close()
	ends := make(chan error, 2)
	go func() { _, err := worker.Call(ctx, limit); ends <- fmt.Errorf("worker: %w", err) }()
	go func() { _, err := sleep.Call(ctx, limit, t.option...); ends <- fmt.Errorf("call: %w", err) }()
	time.Sleep(time.Second) // until both calls have begun
	if err := shell(ctx, command); err != nil {
		return err
	}
	for range cap(ends) {
		if err := <-ends; !errors.Is(err, os.ErrProcessDone) || errors.Is(err, ctx.Err()) {
			return fmt.Errorf("error does not say that the process is gone: %w", err)
		}
	}
	return nil
}
