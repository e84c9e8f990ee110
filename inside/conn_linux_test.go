package inside

import (
	"net"
	"syscall"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("a connection", func() {

	It("that is reset before it has come is an error", func() {
		l := specs.OK(net.Listen("tcp", "127.0.0.1:0"))
		defer l.Close()
		conn := specs.OK(net.Dial("tcp", l.Addr().String()))
		defer conn.Close()
		peer := specs.OK(l.Accept())
		Expect(peer.(*net.TCPConn).SetLinger(0)).To(Succeed())
		Expect(peer.Close()).To(Succeed())
		Expect(conn.Read(make([]byte, 1))).Error().To(MatchError(syscall.ECONNRESET))
		none, err := connOf(specs.OK(conn.(*net.TCPConn).File()), nil)
		Expect(none).To(BeNil())
		Expect(err).To(MatchError("dial tcp: connection was reset by its peer"))
	})

})
