package inside

import (
	"context"
	"io"
	"net"
	"os"

	"example.com/gons/reexec"
)

// The functions that children run. Sockets keep the network namespace in which they were made.
var (
	listen       = register("Listen", new(net.ListenConfig).Listen)
	listenPacket = register("ListenPacket", new(net.ListenConfig).ListenPacket)
	dial         = register("Dial", new(net.Dialer).DialContext)
	open         = reexec.RegisterFunc(prefix+"Open", os.Open) // an open that hangs ends with its child only
)

const prefix = "gons/reexec/inside."

// An endpoint is what package net wants to know to listen or dial.
type endpoint struct{ Network, Address string }

// register registers a function that makes a socket of package net. The child answers with its
// file.
func register[S io.Closer](name string, makeSocket func(ctx context.Context, network, address string) (S, error)) reexec.Func[endpoint, *os.File] {
	return reexec.RegisterFuncContext(prefix+name, func(ctx context.Context, e endpoint) (*os.File, error) {
		s, err := makeSocket(ctx, e.Network, e.Address)
		if err != nil {
			return nil, err
		}
		defer s.Close()                                                // the file is a duplicate
		if l, ok := any(s).(interface{ SetUnlinkOnClose(bool) }); ok { // a net.UnixListener; not on Plan 9
			l.SetUnlinkOnClose(false) // the parent goes on listening at that path
		}
		return any(s).(interface{ File() (*os.File, error) }).File()
	})
}
