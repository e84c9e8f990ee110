//go:build (unix && !aix) || windows

// Package specs runs the specs of a package, sees to it that none leaves anything behind, has the
// test binary be other programs, among them processes in namespaces of their own to be visited, and
// tells what this machine does not allow. It is for tests only, and for the systems on which package ginkgo compiles.
package specs

import (
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"
)

// Long marks a spec that takes seconds. It runs only where LONG_SPECS is set.
var Long = ginkgo.Label("long")

// Run runs the specs of a package.
func Run(t *testing.T, suite string) {
	gomega.RegisterFailHandler(ginkgo.Fail)
	gomega.SetDefaultEventuallyTimeout(30 * time.Second) // generous: machines may be slow and busy
	gomega.SetDefaultEventuallyPollingInterval(2 * time.Millisecond)
	config, reporter := ginkgo.GinkgoConfiguration()
	if os.Getenv("LONG_SPECS") == "" && config.LabelFilter == "" {
		config.LabelFilter = "!long"
	}
	ginkgo.RunSpecs(t, suite, config, reporter)
}

// LeaveNothing, called in a BeforeEach, expects a spec to leave no goroutines, open files and children.
func LeaveNothing() {
	goroutines, expectNoMore := gleak.Goroutines(), noMore()
	ginkgo.DeferCleanup(func() {
		gomega.Eventually(gleak.Goroutines).ShouldNot(gleak.HaveLeaked(goroutines))
		expectNoMore()
	})
}

// OK returns the value of a call that must not fail.
func OK[T any](value T, err error) T {
	ginkgo.GinkgoHelper()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return value
}

// OK2 is OK for two values.
func OK2[A, B any](a A, b B, err error) (A, B) {
	ginkgo.GinkgoHelper()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return a, b
}

// Pointer returns a pointer to a copy of a value; nil if there is none.
func Pointer(value any) any {
	if value == nil {
		return nil
	}
	p := reflect.New(reflect.TypeOf(value))
	p.Elem().Set(reflect.ValueOf(value))
	return p.Interface()
}
