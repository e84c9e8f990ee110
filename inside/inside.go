package inside

import (
	"context"
	"errors"
	"net"
	"os"

	"example.com/gons/reexec"
)

// Listen is [net.Listen] in a child, in the namespaces of the options. ctx limits how long it takes
// to listen, and not the life of the listener.
//
//	l, err := inside.Listen(ctx, "tcp", ":8080", reexec.Target(pid, "net"))
//
// The file of a "unix" or "unixpacket" socket stays when the listener is closed, since its path
// leads elsewhere here. To listen there again, remove it first, in the mount namespace where it is.
func Listen(ctx context.Context, network, address string, options ...reexec.ReexecActionOption) (net.Listener, error) {
	f, err := listen.Call(ctx, endpoint{network, address}, options...)
	return socketOf(f, err, net.FileListener)
}

// ListenPacket is [net.ListenPacket] in a child, in the namespaces of the options. ctx limits how
// long it takes to listen, and not the life of the connection. The file of a "unixgram" socket
// stays, as ever.
func ListenPacket(ctx context.Context, network, address string, options ...reexec.ReexecActionOption) (net.PacketConn, error) {
	f, err := listenPacket.Call(ctx, endpoint{network, address}, options...)
	return socketOf(f, err, net.FilePacketConn)
}

// Dial is the method DialContext of a zero [net.Dialer] in a child, in the namespaces of the
// options. The child takes some milliseconds; a [Dialer] keeps it for the next time.
//
// A server at a Unix socket sees the credentials of the child (SO_PEERCRED in unix(7)), which has
// ended by then.
func Dial(ctx context.Context, network, address string, options ...reexec.ReexecActionOption) (net.Conn, error) {
	f, err := dial.Call(ctx, endpoint{network, address}, options...)
	return connOf(f, err)
}

// Open is [os.Open] in a child, in the namespaces of the options: the file is open for reading.
// Opening a FIFO waits for a writer, until ctx ends.
//
// The file may be a device, or a directory. [os.File.Readdirnames] of a directory returns the names
// in there. But [os.File.Readdir], and the method Info of an [os.DirEntry], look up the names
// outside; [os.OpenRoot] of /proc/self/fd/N, where N is the directory's Fd, looks there.
func Open(ctx context.Context, name string, options ...reexec.ReexecActionOption) (*os.File, error) {
	return open.Call(ctx, name, options...)
}

// socketOf makes a socket of package net from the file that a child has returned.
func socketOf[S any](f *os.File, err error, makeSocket func(*os.File) (S, error)) (S, error) {
	if err != nil {
		return *new(S), err
	}
	defer f.Close() // the socket has a duplicate
	return makeSocket(f)
}

// connOf is socketOf for connections. It refuses one that its peer has reset meanwhile, since that
// has no remote address.
func connOf(f *os.File, err error) (net.Conn, error) {
	conn, err := socketOf(f, err, net.FileConn)
	if err == nil && conn.RemoteAddr() == nil {
		_ = conn.Close()
		return nil, &net.OpError{Op: "dial", Net: conn.LocalAddr().Network(), Err: errors.New("connection was reset by its peer")}
	}
	return conn, err
}
