package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
)

// An aliasOfErrno says by itself which errno it is.
type aliasOfErrno struct{ error }

func (aliasOfErrno) As(target any) bool {
	errno, ok := target.(*syscall.Errno)
	if ok {
		*errno = syscall.EXDEV
	}
	return ok
}

func (e aliasOfErrno) Unwrap() error { return e.error }

var errOwn = errors.New("a program's own")

func init() { RegisterErrors([]error{errOwn}) }

var _ = DescribeTable("what travels of an error", func(err error, failure Failure, causes ...error) {
	f := read(mustEncode(header{Kind: Failed}, *newFailure(fmt.Errorf("what: %w", err)), 0))
	var got Failure
	g.Expect(f.Decode(&got)).To(g.Succeed())
	failure.Message = "what: " + err.Error()
	g.Expect(slices.Equal(got.Causes(), causes)).To(g.BeTrue(), "%v", got.Causes())
	got.Known = nil // numbers of what is in causes
	g.Expect(got).To(g.Equal(failure))
	g.Expect(got.Is(net.ErrClosed)).To(g.Equal(errors.Is(err, net.ErrClosed)))
	g.Expect(got.Is(errors.New("use of closed network connection"))).To(g.BeFalse())
	g.Expect(got.Is(errors.New("os: process handle unavailable"))).To(g.Equal(slices.Contains(got.Foreign, 2)))
},
	Entry("its text", errors.New("no"), Failure{}),
	Entry("an errno", &fs.PathError{Op: "open", Path: "/", Err: syscall.ENOENT}, Failure{Errnos: []syscall.Errno{syscall.ENOENT}}, syscall.ENOENT),
	Entry("many", errors.Join(fmt.Errorf("%w", syscall.EIO), errors.New("no"), aliasOfErrno{errors.Join(syscall.EPERM)}),
		Failure{Errnos: []syscall.Errno{syscall.EIO, syscall.EXDEV, syscall.EPERM}}, syscall.EIO, syscall.EXDEV, syscall.EPERM),
	Entry("cancelled", fmt.Errorf("oh: %w", context.Canceled), Failure{}, context.Canceled),
	Entry("too late", context.DeadlineExceeded, Failure{Timeout: true, Temporary: true}, context.DeadlineExceeded),
	Entry("closed", os.ErrClosed, Failure{}, os.ErrClosed),
	Entry("closed, in package net", &net.OpError{Op: "read", Err: net.ErrClosed}, Failure{Foreign: []int{0}}),
	Entry("what package os declares since Go 1.26", os.NewSyscallError("pidfd_open", errors.New("os: process handle unavailable")), Failure{Foreign: []int{2}}),
	Entry("not there, without an errno", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}, Failure{}, fs.ErrNotExist),
	Entry("the end of a file", fmt.Errorf("%w", io.EOF), Failure{}, io.EOF),
	Entry("that time is over", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, Failure{Timeout: true, Temporary: true}, os.ErrDeadlineExceeded),
	Entry("an errno that tells of time", syscall.ETIMEDOUT, Failure{Errnos: []syscall.Errno{syscall.ETIMEDOUT}, Timeout: true, Temporary: true}, syscall.ETIMEDOUT),
	Entry("a program's own", fmt.Errorf("%w", errOwn), Failure{}, errOwn),
	Entry("everything", errors.Join(os.ErrClosed, context.Canceled, syscall.EINTR, errOwn),
		Failure{Errnos: []syscall.Errno{syscall.EINTR}, Temporary: true},
		syscall.EINTR, context.Canceled, os.ErrClosed, errOwn),
)

var _ = Describe("what travels of an error", func() {
	It("is shortened in the middle", func() {
		for _, size := range []int{maxText, maxText + 1, 1 << 20} {
			message := newFailure(errors.New("begin" + strings.Repeat("x", size-8) + "end")).Message
			g.Expect(message).To(g.And(g.HavePrefix("begin"), g.HaveSuffix("end")))
			g.Expect(len(message)).To(g.BeNumerically("<", maxText+50))
			g.Expect(strings.Contains(message, "left out")).To(g.Equal(size > maxText))
		}
	})

	It("may be anything, if a child says so", func() {
		f := Failure{Known: []int{-1, 1 << 30}, Foreign: []int{-1, 1 << 30}}
		g.Expect(f.Causes()).To(g.BeEmpty())
		g.Expect(f.Is(net.ErrClosed)).To(g.BeFalse())
	})
})
