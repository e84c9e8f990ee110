//go:build race

package integration

import (
	"io"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var raceWithYourself = reexec.RegisterFunc("race with yourself", func(struct{}) (int, error) {
	n, done := 0, make(chan struct{})
	go func() { n++; close(done) }()
	n++
	<-done
	return n, nil
})

var _ = Describe("the race detector in root's child in a user namespace", func() {
	It("reads its options", func() {
		specs.NeedsRoot()
		n := newNeighbour("user", "mnt", "pid", "mapped")
		_, err := raceWithYourself.Call(background, struct{}{}, reexec.Stdout(io.Discard), n.in("!user", "!mnt", "!pid"),
			reexec.Environment([]string{"GORACE=exitcode=42 atexit_sleep_ms=0 log_path=stdout"})) // a report on stderr fails all tests
		Expect(exitCode(err)).To(Equal(42))
	})
})
