package inside

import (
	"context"
	"math"
	"net"
	"os"

	"example.com/gons/reexec"
)

// A Dialer dials in a child that stays, so that a dial takes little longer than one without. [NewDialer] makes one. It is safe for
// concurrent use.
//
// Its child is a process in the namespaces until Close, also after the container has ended: what is in there ends then, but
// not the namespaces, and each dial says that nothing answers. With "pid" among the types of [reexec.Target] the child ends
// with the container.
//
// A Dialer whose child has ended, for whatever reason, does not start another one. Each dial that comes later returns why, and
// [errors.Is] finds [reexec.ErrNotStarted] in that, as it does if the context of a dial has ended before. Then Close this one, and make
// another. A [*reexec.FuncError] is what package net says of the dial, and no reason for that.
type Dialer struct {
	worker *reexec.Worker[endpoint, *os.File]
}

// NewDialer starts the child of a Dialer, in the namespaces of the options. It returns once the child is in there. The end of ctx
// kills the child at any time, so it is to live as long as the Dialer. The Dialer must be closed.
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

// DialContext is that of a zero [net.Dialer], in the child. It fits [net/http.Transport]. It returns at once when ctx ends. The connection
// outlives the Dialer.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	f, err := d.worker.Call(ctx, endpoint{network, address})
	return connOf(f, err)
}

// Close ends the child and blocks until it is reaped. Dials that are under way have the grace period ([reexec.GracePeriod]) to
// succeed. Those that do not, and later ones, return an error that wraps [os.ErrClosed]. Connections stay open. Closing again
// returns the same. The error is that of [reexec.Worker.Close].
func (d *Dialer) Close() error { return d.worker.Close() }
