package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/specs"
	"example.com/gons/reexec/internal/sys"

	. "github.com/onsi/ginkgo/v2"
	g "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// sockets returns both ends of a connection, as they are between a function and its caller, closed at the end of the spec.
func sockets() (a, b *os.File) {
	GinkgoHelper()
	a, b = specs.OK2(sys.SocketPair())
	DeferCleanup(func() { sys.CloseAll(a, b) })
	return a, b
}

// nulls returns files, and their duplicates.
func nulls(n int) (files []*os.File, descriptors []int) {
	GinkgoHelper()
	for range n {
		f := specs.OK(os.Open(os.DevNull))
		DeferCleanup(func() { _ = f.Close() })
		files = append(files, f)
	}
	return files, specs.OK(duplicates(files))
}

// expecting returns the frame of an answer that has so many files.
func expecting(n int) Frame {
	return read(mustEncode(header{Kind: Result, call: 5}, make([]*os.File, 0), n))
}

var _ = Describe("a message", func() {
	const late = -1 * time.Second

	DescribeTable("says how a context has ended", func(timeout time.Duration, why, cause error) {
		a, b := sockets()
		parent, end := context.WithCancelCause(background)
		ctx, release := context.WithTimeoutCause(parent, timeout, why)
		defer release()
		end(why)
		extra, said := cancellation(ctx)
		tell(a, header{Kind: cancel, call: 42, extra: extra}, said)
		f := specs.OK(receive(b))
		g.Expect(f.Kind).To(g.Equal(cancel))
		g.Expect(f.call).To(g.Equal(uint64(42)))
		g.Expect(f.extra != 0).To(g.Equal(timeout == late))
		var text string
		g.Expect(f.Decode(&text)).To(g.Succeed())
		g.Expect(causeOf(text)).To(g.Equal(cause))
	},
		Entry("cancelled", time.Hour, nil, context.Canceled),
		Entry("too late", late, nil, context.DeadlineExceeded),
		Entry("too late with a cause", late, errors.New("lunch"), errors.New("lunch")),
		Entry("cancelled with a cause", time.Hour, errors.New("so there"), errors.New("so there")),
		Entry("with a very long cause", time.Hour, errors.New(strings.Repeat("x", 1<<20)), errors.New(strings.Repeat("x", maxCause))),
		Entry("with a cause that is no text", time.Hour, errors.New("a\xffb\x00"), errors.New("a\xffb\x00")),
	)

	It("waits for room, as long as there is the other end", func() {
		a, b := sockets()
		why := strings.Repeat("x", maxCause)
		sent := 0
		for ; sent < 1000; sent++ {
			tell(a, header{Kind: cancel, call: uint64(sent)}, &why)
		}
		for n := range sent / 2 {
			g.Eventually(func() error {
				_, err := receive(b)
				return err
			}).Should(g.Succeed(), "%d", n)
		}
		g.Expect(b.Close()).To(g.Succeed())
		tell(a, header{Kind: dump}, nil)
	})

	DescribeTable("carries files", func(n int) {
		a, b := sockets()
		sent, descriptors := nulls(n)
		g.Expect(sendFiles(a, 5, descriptors, false)).To(g.Succeed())
		f := read(mustEncode(header{Kind: Result, call: 5}, sent, 0))
		f.receiveFiles(b)
		g.Expect(f.lost).NotTo(g.HaveOccurred())
		_, err := receive(b)
		g.Expect(err).To(g.MatchError(syscall.EAGAIN))
		var all []*os.File
		g.Expect(f.Decode(&all)).To(g.Succeed())
		g.Expect(all).To(g.HaveLen(n))
		for i, open := range all {
			g.Expect(os.SameFile(specs.OK(open.Stat()), specs.OK(sent[i].Stat()))).To(g.BeTrue())
			g.Expect(open.Close()).To(g.Succeed())
		}
	},
		Entry("one", 1),
		Entry("as many as fit into one", sys.MaxFiles),
		Entry("one more", sys.MaxFiles+1),
		Entry("many", 2*sys.MaxFiles+10),
	)

	It("carries files to nobody, and closes them", func() {
		a, b := sockets()
		g.Expect(b.Close()).To(g.Succeed())
		_, descriptors := nulls(300)
		err := sendFiles(a, 1, descriptors, false)
		g.Expect(err).To(g.MatchError(syscall.EPIPE))
	})

	It("with files that are for no value leaves none", func() {
		a, b := sockets()
		for _, value := range []any{new(string), new([]*os.File), new(explosive)} {
			_, descriptors := nulls(2)
			g.Expect(sendFiles(a, 5, descriptors, false)).To(g.Succeed())
			f := expecting(2)
			f.receiveFiles(b)
			g.Expect(f.open).To(g.HaveLen(2))
			func() {
				defer func() { _ = recover() }()
				g.Expect(f.Decode(value)).NotTo(g.Succeed())
			}()
			g.Expect(f.open).To(g.BeEmpty())
		}
	})

	It("is skipped where it does not belong to the answer, but not for ever", func() {
		a, b := sockets()
		send := func(call uint64, n int) {
			_, descriptors := nulls(n)
			g.Expect(sendFiles(a, call, descriptors, false)).To(g.Succeed())
		}
		send(4, 3) // of an answer that was not sent to its end
		tell(a, header{Kind: dump, call: 5}, nil)
		send(5, 1)
		f := expecting(1)
		f.receiveFiles(b)
		g.Expect(f.lost).NotTo(g.HaveOccurred())
		g.Expect(f.open).To(g.HaveLen(1))
		f.Close()

		stop := make(chan struct{})
		var senders sync.WaitGroup
		for range 4 { // threads of a hostile child
			senders.Go(func() {
				for message := mustEncode(header{Kind: files, call: 5}, nil, 0); !child.IsClosed(stop); {
					_ = sys.Send(a, message, nil, false)
				}
			})
		}
		received := make(chan error)
		go func() {
			for range 5 {
				f := expecting(1)
				f.receiveFiles(b)
				received <- f.lost
			}
		}()
		for range 5 {
			g.Eventually(received).Should(g.Receive(g.MatchError(errMissing)))
		}
		close(stop)
		senders.Wait()
	})

	DescribeTable("that makes no sense leaves no files", func(b []byte, kind Kind, lost error) {
		ours, theirs := sockets()
		_, descriptors := nulls(1)
		g.Expect(sys.Send(theirs, b, descriptors, false)).To(g.Succeed())
		sys.CloseDescriptors(descriptors)
		f := specs.OK(receive(ours))
		g.Expect(f.Kind).To(g.Equal(kind))
		g.Expect(f.lost == lost).To(g.BeTrue(), "%v", f.lost)
		if lost == nil {
			g.Expect(f.open).To(g.BeEmpty())
		}
		f.Close()
	},
		Entry("too short", []byte("f\x00"), Kind(0), nil),
		Entry("just too short", mustEncode(header{Kind: files, call: 1}, nil, 1)[:headerSize-1], Kind(0), nil),
		Entry("of an unknown kind", mustEncode(header{Kind: '?'}, nil, 1), Kind('?'), nil),
		Entry("with a file that is for nothing", mustEncode(header{Kind: cancel}, "why", 1), cancel, nil),
		Entry("with less files than it says", mustEncode(header{Kind: files}, nil, 2), files, syscall.EMFILE),
		Entry("with more files than it says", mustEncode(header{Kind: files}, nil, 0), files, syscall.EMFILE),
	)

	DescribeTable("in a process that may have few open files", func(role, told string) {
		out := specs.OK(specs.Child(role).Output())
		g.Expect(strings.TrimSpace(string(out))).To(g.HavePrefix(told))
	},
		Entry("too many on their way have to wait", "crowd", "<nil>"),
		Entry("too many on their way have to wait, however long that takes", "patient", "<nil>"),
		Entry("too many on their way are an error in the end", "stuck", "sendmsg: too many references: cannot splice"),
		Entry("too many of others are so for a patient sender, too", "crowded out", "sendmsg: too many references: cannot splice"),
	)
})

const maxCause = sys.MaxMessage - headerSize - 10

// An explosive value panics when it is decoded.
type explosive struct{ File *os.File }

func (explosive) MarshalJSON() ([]byte, error) { return nil, nil }
func (*explosive) UnmarshalJSON([]byte) error  { panic("at the decoder") }

func init() {
	crowd := func(receives func(socket *os.File), atLeast time.Duration, patient bool) error {
		patience = atLeast
		a, b, err := sys.SocketPair()
		must(err)
		fd, err := sys.Descriptor(b)
		must(err)
		b = sys.OwnFile(fd, "b")
		runtime.LockOSThread()
		must(unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: 1000}, nil))
		none := [2]unix.CapUserData{} // who has some is not limited
		must(unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]))
		null, _ := os.Open(os.DevNull)
		go receives(b)
		for range 8 { // so few at a time that both sides together always have numbers left
			descriptors, err := duplicates(slices.Repeat([]*os.File{null}, 15))
			must(err)
			if err := sendFiles(a, 1, descriptors, patient); err != nil {
				return err
			}
		}
		return nil
	}
	listen := func(socket *os.File) {
		time.Sleep(20 * time.Millisecond)
		must(sys.Listen(socket, func() error {
			for {
				f, err := receive(socket)
				if err != nil {
					return err
				}
				f.Close()
			}
		}))
	}
	deaf := func(*os.File) {}
	const short = 4 * time.Millisecond
	specs.Roles["crowd"] = func([]string) { fmt.Println(crowd(listen, patience, false)) }
	specs.Roles["patient"] = func([]string) { fmt.Println(crowd(listen, 0, true)) }
	specs.Roles["stuck"] = func([]string) { fmt.Println(crowd(deaf, short, false)) }
	specs.Roles["crowded out"] = func([]string) {
		_ = crowd(deaf, short, false) // by others
		fmt.Println(crowd(deaf, short, true))
	}
}

func must(err error) {
	if err != nil && err != io.EOF {
		panic(err)
	}
}
