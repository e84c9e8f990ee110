package specs

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("a neighbour that cannot be started", func() {
	It("leaves nothing", func() {
		NeedsNamespaces("user", "mnt")
		_, err := StartNeighbour("/nowhere", "user", "mnt")
		Expect(err).To(HaveOccurred())
	})
})
