package call

import (
	"context"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// begin waits for a turn, and sends a call.
func (w *Worker) begin(ctx context.Context, param *outgoing) (call *Call, err error) {
	if err = w.take(ctx, w.turns); err != nil {
		return nil, err
	}
	if err = w.take(ctx, w.sending); err == nil {
		call, err = w.sendNext(param)
	}
	if err != nil {
		<-w.turns
	}
	if err == errOver {
		err = w.DiedIn(ctx, nil)
	}
	return call, err
}

// take takes a turn, or the lock sending. Its error says why no call can begin.
func (w *Worker) take(ctx context.Context, turn chan struct{}) error {
	select {
	case turn <- struct{}{}:
		err := w.refuses(ctx) // by now
		if err != nil {
			<-turn
		}
		return err
	case <-ctx.Done():
	case <-w.closing:
	case <-w.over:
	case <-w.p.Exited():
	}
	return w.refuses(ctx)
}

// sendNext sends a call that has a turn. It gives the lock sending back, which the caller has taken.
func (w *Worker) sendNext(param *outgoing) (call *Call, err error) {
	open, err := duplicates(param.files)
	if err == nil {
		call, err = w.number()
	}
	if err != nil {
		<-w.sending
		sys.CloseDescriptors(open)
		return nil, err
	}
	w.send(call, param, open)
	return call, nil
}

// number registers a call that is about to be sent, unless Close has been called by now, or the worker is gone.
func (w *Worker) number() (*Call, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case child.IsClosed(w.closing):
		return nil, ErrClosed
	case child.IsClosed(w.over):
		return nil, errOver
	}
	return w.register(), nil
}
