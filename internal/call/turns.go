package call

import (
	"context"

	"example.com/gons/reexec/internal/sys"
)

// begin waits for a turn, and sends a call.
func (w *Worker) begin(ctx context.Context, param Param) (call *Call, err error) {
	hasTurn := false
	select {
	case w.turns <- struct{}{}:
		hasTurn = true
	case <-ctx.Done():
	case <-w.closing:
	case <-w.over:
	case <-w.p.Exited():
	}
	err = w.Refuses(ctx) // by now
	if err == nil {
		call, err = w.send(ctx, param)
	}
	if err != nil && hasTurn {
		<-w.turns
	}
	return call, err
}

// send sends a call that has a turn.
func (w *Worker) send(ctx context.Context, param Param) (call *Call, err error) {
	open, err := duplicates(param.files)
	if err != nil {
		return nil, &UnsentError{err}
	}
	select {
	case w.sending <- struct{}{}:
		if call, err = w.number(); err != nil {
			<-w.sending
		}
		if err == errOver {
			err = w.Refuses(ctx)
		}
	case <-ctx.Done():
		err = w.Refuses(ctx)
	case <-w.over:
		err = w.Refuses(ctx)
	}
	if err != nil {
		sys.CloseDescriptors(open)
		return nil, err
	}
	if w.write(call, param, len(open) > 0) {
		<-w.sending
	} else {
		go w.sendLater(call, open)
	}
	return call, nil
}

// sendLater sends the rest of a call.
func (w *Worker) sendLater(call *Call, open []int) {
	w.writeLater(call, open)
	<-w.sending
}

// number registers a call that is about to be sent.
func (w *Worker) number() (*Call, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return nil, ErrClosed
	case isClosed(w.over):
		return nil, errOver
	}
	return w.register(), nil
}
