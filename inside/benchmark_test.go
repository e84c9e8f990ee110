package inside_test

import (
	"context"
	"net"
	"testing"

	"example.com/gons/reexec/inside"
)

// What a dial takes. Where the child is makes no difference, so it is here.
func BenchmarkDial(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	d, err := inside.NewDialer(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	for _, by := range []struct {
		what string
		dial func(ctx context.Context, network, address string) (net.Conn, error)
	}{
		{"net", new(net.Dialer).DialContext},
		{"Dialer", d.DialContext},
		{"Dial", func(ctx context.Context, network, address string) (net.Conn, error) {
			return inside.Dial(ctx, network, address)
		}},
	} {
		b.Run(by.what, func(b *testing.B) {
			for b.Loop() {
				conn, err := by.dial(context.Background(), "tcp", l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				_ = conn.(*net.TCPConn).SetLinger(0) // leaves no port in TIME_WAIT
				_ = conn.Close()
			}
		})
	}
}
