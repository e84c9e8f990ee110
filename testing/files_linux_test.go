package testing

import (
	. "github.com/onsi/gomega"
	. "github.com/thediveo/fdooze"
)

// noMoreOpenFiles remembers which files are open. What it returns expects no more to be
// open.
func noMoreOpenFiles() (expect func()) {
	before := Filedescriptors()
	return func() { Eventually(Filedescriptors).ShouldNot(HaveLeakedFds(before)) }
}
