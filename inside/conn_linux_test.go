package inside

import (
	"net"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("a connection", func() {

	It("that is reset before it has come is an error", func() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		defer l.Close()
		conn, err := net.Dial("tcp", l.Addr().String())
		Expect(err).NotTo(HaveOccurred())
		defer conn.Close()
		peer, err := l.Accept()
		Expect(err).NotTo(HaveOccurred())
		Expect(peer.(*net.TCPConn).SetLinger(0)).To(Succeed())
		Expect(peer.Close()).To(Succeed())
		Expect(conn.Read(make([]byte, 1))).Error().To(MatchError(syscall.ECONNRESET))
		f, err := conn.(*net.TCPConn).File()
		Expect(err).NotTo(HaveOccurred())
		conn, err = connOf(f, nil)
		Expect(conn).To(BeNil())
		Expect(err).To(MatchError("dial tcp: connection was reset by its peer"))
	})

})
