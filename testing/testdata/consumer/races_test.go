package consumer

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"example.com/gons/reexec"
)

func init() { reexec.Register("racy action", race) }

var racy = reexec.RegisterFunc("racy function", func(struct{}) (struct{}, error) {
	race()
	return struct{}{}, nil
})

var racyEvents = reexec.RegisterStream("racy stream", func(_ context.Context, _ struct{}, yield func(int) bool) error {
	race()
	yield(1)
	return nil
})

func race() {
	n, done := 0, make(chan struct{})
	go func() {
		n++
		close(done)
	}()
	n++
	<-done
	_ = n
}

// These tests look at no error.

func TestRaceOfAction(*testing.T) { _ = reexec.RunReexecAction("racy action") }

func TestRaceOfCall(t *testing.T) { _, _ = racy.Call(t.Context(), struct{}{}) }

func TestRaceOfWorker(t *testing.T) {
	w, err := racy.Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Call(t.Context(), struct{}{}); err != nil {
		t.Error(err)
	}
}

func TestRaceOfKilledWorker(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	w, err := racy.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Call(t.Context(), struct{}{})
	cancel()
	<-w.Done()
	_ = w.Close()
}

func TestRaceOfStream(t *testing.T) {
	for range racyEvents.Call(t.Context(), struct{}{}) {
		break
	}
}

// This one does.
func TestRaceError(t *testing.T) {
	_, err := racy.Call(t.Context(), struct{}{})
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 66 {
		t.Errorf("want exit status 66, but error is %v", err)
	}
	t.Log(err)
}

var leaves = reexec.RegisterFunc("leaves", func(status int) (struct{}, error) {
	os.Exit(status)
	return struct{}{}, nil
})

// A status 66 may mean anything in a program without the race detector.
func TestStatus(t *testing.T) {
	_, err := leaves.Call(t.Context(), 66)
	t.Log(err)
}
