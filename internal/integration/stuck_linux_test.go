package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// look looks at a file, which may take for ever.
var look = reexec.RegisterFunc("look", func(path string) (bool, error) {
	_, err := os.Stat(path)
	return err == nil, nil
})

var lookInContext = reexec.RegisterFuncContext("look in context", func(_ context.Context, path string) (bool, error) {
	_, err := os.Stat(path)
	return err == nil, nil
})

var lookOn = reexec.RegisterStream("look on", func(_ context.Context, path string, yield func(int) bool) error {
	yield(1)
	_, err := os.Stat(path)
	return err
})

func init() {
	reexec.Register("look action", func() {
		_, err := os.Stat(param().(string))
		answer(err == nil)
	})
}

var _ = Describe("a child that the kernel cannot end", func() {

	reason := errors.New("enough is enough")
	short := ofGrace(50 * time.Millisecond)

	// Each of these takes seconds, and so they wait at the same time.
	ways := map[string]func(ctx context.Context, path string) error{
		"an action": func(ctx context.Context, path string) error {
			return reexec.RunReexecActionContext(ctx, "look action", reexec.Param(path), short)
		},
		"a call": func(ctx context.Context, path string) error {
			_, err := look.Call(ctx, path, short)
			return err
		},
		"a call that should obey its context": func(ctx context.Context, path string) error {
			_, err := lookInContext.Call(ctx, path, short)
			return err
		},
		"a worker's call": func(ctx context.Context, path string) error {
			w, err := look.Start(background, short)
			if err != nil {
				return err
			}
			_, err = w.Call(ctx, path)
			_ = w.Close()
			return err
		},
		"a loop": func(ctx context.Context, path string) (err error) {
			for _, err = range lookOn.Call(ctx, path, short) {
			}
			return err
		},
		"a loop that is left": func(_ context.Context, path string) error {
			for range lookOn.Call(background, path, short) {
				break
			}
			return fmt.Errorf("%w: there is no error, but it does not end either", reason)
		},
		"a worker that is closed": func(_ context.Context, path string) error {
			w, err := look.Start(background, short)
			if err != nil {
				return err
			}
			called := goCall(w.Call, background, path)
			time.Sleep(100 * time.Millisecond) // until it is being served
			_ = w.Close()
			o := <-called
			if isOver(w.Done()) || w.Err() != nil {
				return errors.New("the worker is done although its child has not ended")
			}
			return fmt.Errorf("%w: %w", reason, o.err)
		},
	}

	It("does not hold up its caller, who is told, and is reaped when it ends", func() {
		ctx, cancel := context.WithCancelCause(background)
		defer cancel(nil)
		ended := map[string]chan error{}
		var dead []*specs.DeadFileSystem
		for name, run := range ways {
			fs := specs.NewDeadFileSystem()
			dead = append(dead, fs)
			done := make(chan error, 1)
			ended[name] = done
			go func() { done <- run(ctx, filepath.Join(fs.Path, "file")) }()
			fs.Asked()
		}
		cancel(reason)
		for name, done := range ended {
			var err error
			Eventually(done).WithTimeout(moment).Should(Receive(&err), "%s: its caller is held up", name)
			Expect(err).To(MatchError(reason), name)
			Expect(err).To(MatchError(ContainSubstring("does not end")), name)
		}
		for _, fs := range dead {
			fs.End()
		}
		Eventually(children).Should(BeEmpty())
	})

})

var _ = Describe("a child that is not born while its stderr blocks", func() {

	reason := errors.New("enough is enough")
	nowhere := reexec.Namespaces([]reexec.Namespace{{Type: "!net", Path: "/nowhere"}})
	noisy := reexec.Environment([]string{"LD_PRELOAD=/nowhere.so"}) // the loader says so

	It("does not keep the end of the context from releasing its caller", func() {
		specs.NeedsCgo()
		for _, by := range []func(context.Context, reexec.ReexecActionOption) error{
			func(ctx context.Context, stderr reexec.ReexecActionOption) error {
				return reexec.RunReexecActionContext(ctx, "silent", nowhere, noisy, stderr)
			},
			func(ctx context.Context, stderr reexec.ReexecActionOption) error {
				_, err := double.Call(ctx, 1, nowhere, noisy, stderr)
				return err
			},
			func(ctx context.Context, stderr reexec.ReexecActionOption) error {
				_, err := double.Start(ctx, nowhere, noisy, stderr)
				return err
			},
		} {
			var said bytes.Buffer
			_ = by(background, reexec.Stderr(&said))
			if said.Len() == 0 {
				Skip("the loader says nothing")
			}
			blocking := newBlockingWriter()
			ctx, cancel := context.WithCancelCause(background)
			go func() {
				<-blocking.Blocks
				cancel(reason)
			}()
			Expect(inTime(func() error { return by(ctx, reexec.Stderr(blocking)) })).To(HaveOccurred())
			cancel(nil)
		}
	})

	It("does not do so either if it is the parent's own stderr", func() {
		specs.NeedsCgo()
		blockStderr()
		ctx, cancel := context.WithTimeoutCause(background, 300*time.Millisecond, reason)
		defer cancel()
		_, err := double.Start(ctx, nowhere, noisy)
		Expect(err).To(HaveOccurred())
	})

})
