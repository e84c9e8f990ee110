package inside

import (
	"context"
	"math"
	"net"
	"os"

	"example.com/gons/reexec"
)

// A Dialer dials in a child that stays, so that a dial takes little longer than one without a
// child. [NewDialer] makes one. It is safe for concurrent use.
//
// Its child is a process in the namespaces until Close, also after the container has ended, and
// keeps the namespaces alive: then each dial says that nothing answers. With "pid" among the types
// of [reexec.Target] the child ends with the container.
//
// A Dialer whose child has ended does not start another one. Each later dial returns the reason, in
// an error in which [errors.Is] finds [reexec.ErrNotStarted]. Then close this Dialer, and make
// another. An error also matches it if the context of its dial had ended before; and a
// [*reexec.FuncError] only tells what package net says of the dial. The Dialer goes on after both.
type Dialer struct {
	worker *reexec.Worker[endpoint, *os.File]
}

// NewDialer starts the child of a Dialer, in the namespaces of the options, and returns once the
// child is in there. The end of ctx kills the child at any time, so ctx has to last as long as the
// Dialer. The Dialer must be closed.
//
// Any number of dials may be under way; the option [reexec.Concurrency] limits them.
func NewDialer(ctx context.Context, options ...reexec.ReexecActionOption) (*Dialer, error) {
	unlimited := reexec.Concurrency(math.MaxInt32)
	worker, err := dial.Start(ctx, append([]reexec.ReexecActionOption{unlimited}, options...)...)
	if err != nil {
		return nil, err
	}
	return &Dialer{worker}, nil
}

// DialContext is the method of a zero [net.Dialer], in the child. It fits [net/http.Transport]. It
// returns at once when ctx ends. The connection outlives the Dialer.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	f, err := d.worker.Call(ctx, endpoint{network, address})
	return connOf(f, err)
}

// Close ends the child and blocks until it is reaped. Dials that are under way have the grace
// period ([reexec.GracePeriod]) to succeed. Those that do not, and later ones, return an error that
// wraps [os.ErrClosed]. Connections stay open. The error is that of [reexec.Worker.Close]. Closing
// again returns the same.
func (d *Dialer) Close() error { return d.worker.Close() }
