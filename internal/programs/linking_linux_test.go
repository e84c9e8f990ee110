package programs

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"example.com/gons/reexec/internal/specs"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// linkedProgram runs an action and functions here and in the namespaces that its environment
// names, and prints what has come of that as JSON: a linkedOutcome.
const linkedProgram = `package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"example.com/gons/reexec"
)

var network = reexec.RegisterFunc("network", func(struct{}) (string, error) { return os.Readlink("/proc/self/ns/net") })

func init() {
	reexec.Register("where", func() {
		id, _ := network_()
		json.NewEncoder(os.Stdout).Encode(id)
	})
}

func network_() (string, error) { return os.Readlink("/proc/self/ns/net") }

// Try is main.
func Try() {
	reexec.CheckAction()
	var namespaces []reexec.Namespace
	for _, ns := range strings.Fields(os.Getenv("VISIT")) {
		typ, path, _ := strings.Cut(ns, "=")
		namespaces = append(namespaces, reexec.Namespace{Type: typ, Path: path})
	}
	var outcome struct {
		Here, There []string
		HereErrs, ThereErrs []string
		Unsupported bool
	}
	tell := func(id string, err error, ids, errs *[]string) {
		*ids = append(*ids, id)
		*errs = append(*errs, fmt.Sprint(err))
	}
	for _, there := range []bool{false, true} {
		ids, errs := &outcome.Here, &outcome.HereErrs
		var options []reexec.ReexecActionOption
		if there {
			ids, errs = &outcome.There, &outcome.ThereErrs
			options = append(options, reexec.Namespaces(namespaces))
		}
		id := ""
		err := reexec.RunReexecAction("where", append(options, reexec.Result(&id))...)
		outcome.Unsupported = errors.Is(err, errors.ErrUnsupported)
		tell(id, err, ids, errs)
		id, err = network.Call(context.Background(), struct{}{}, options...)
		tell(id, err, ids, errs)
		worker, err := network.Start(context.Background(), options...)
		if err != nil {
			tell("", err, ids, errs)
			continue
		}
		id, err = worker.Call(context.Background(), struct{}{})
		tell(id, errors.Join(err, worker.Close()), ids, errs)
	}
	json.NewEncoder(os.Stdout).Encode(outcome)
}
`

// linkedMain is for programs that are all Go.
const linkedMain = `package main

func main() { Try() }
`

// linkedExport is for C programs, and those that load a plugin.
const linkedExport = `package main

import "C"

//export TryFromC
func TryFromC() { Try() }

func main() {}
`

// threadProgram asks the C library about the main thread of a child in a PID namespace, of which
// the library keeps the ID.
const threadProgram = `package main

/*
#include <pthread.h>
#include <signal.h>

static pthread_t main_thread;

static void remember(void) { main_thread = pthread_self(); }

static int is_there(void) { return pthread_kill(main_thread, 0); }
*/
import "C"

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"example.com/gons/reexec"
)

func init() {
	runtime.LockOSThread() // so that other goroutines run on other threads than the main one
	C.remember()
}

var isThere = reexec.RegisterFunc("is there", func(struct{}) (int, error) {
	result := make(chan int)
	go func() {
		runtime.LockOSThread()
		result <- int(C.is_there())
	}()
	return <-result, nil
})

func main() {
	reexec.CheckAction()
	fmt.Println(isThere.Call(context.Background(), struct{}{}, reexec.Namespaces([]reexec.Namespace{
		{Type: "!user", Path: os.Args[1] + "/user"}, {Type: "!pid", Path: os.Args[1] + "/pid"},
	})))
}
`

// mutexProgram has a child in a PID namespace end while its main thread holds a mutex that it shares with its parent.
const mutexProgram = `package main

/*
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

static pthread_mutex_t *mutex;

static int map_(int fd)
{
	mutex = mmap(NULL, sizeof(*mutex), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return mutex == MAP_FAILED ? errno : 0;
}

static int make_(void)
{
	pthread_mutexattr_t attr;

	return pthread_mutexattr_init(&attr) || pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) ||
	       pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) || pthread_mutex_init(mutex, &attr);
}

static int lock(void) { return pthread_mutex_trylock(mutex); }
*/
import "C"

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"example.com/gons/reexec"
)

func init() {
	runtime.LockOSThread() // main, and so CheckAction, are on the main thread
	reexec.Register("lock", func() { fmt.Println(C.map_(3), C.lock()) })
}

func main() {
	reexec.CheckAction()
	f, err := os.CreateTemp("", "")
	if err != nil {
		panic(err)
	}
	os.Remove(f.Name())
	if err := f.Truncate(4096); err != nil || C.map_(C.int(f.Fd())) != 0 || C.make_() != 0 {
		panic("no mutex")
	}
	options := []reexec.ReexecActionOption{reexec.Cmd(func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{f} })}
	if len(os.Args) > 1 {
		options = append(options, reexec.Namespaces([]reexec.Namespace{
			{Type: "!user", Path: os.Args[1] + "/user"}, {Type: "!pid", Path: os.Args[1] + "/pid"},
		}))
	}
	if err := reexec.RunReexecAction("lock", options...); err != nil {
		panic(err)
	}
	fmt.Println(syscall.Errno(C.lock()))
}
`

const loadingProgram = `#include <dlfcn.h>
#include <stdio.h>

int main(void)
{
	void *library = dlopen("./libtry.so", RTLD_NOW);
	void (*try)(void) = library ? (void (*)(void))dlsym(library, "TryFromC") : NULL;

	if (!try) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	try();
	return 0;
}
`

const linkingProgram = `extern void TryFromC(void);

int main(void)
{
	TryFromC();
	return 0;
}
`

const pluginProgram = `package main

import "plugin"

func main() {
	p, err := plugin.Open("./try.plugin")
	if err != nil {
		panic(err)
	}
	try, err := p.Lookup("Try")
	if err != nil {
		panic(err)
	}
	try.(func())()
}
`

type linkedOutcome struct {
	Here, There         []string // network namespaces
	HereErrs, ThereErrs []string
	Unsupported         bool // whether an error of the last action is an errors.ErrUnsupported
}

// tryOut runs a program that has been built, with a neighbour to visit, in whose network
// namespace nothing runs unless it is asked for.
func (c consumer) tryOut(name string, kinds ...string) (o linkedOutcome, n *specs.Neighbour) {
	GinkgoHelper()
	n = specs.NewNeighbour(kinds...)
	visit := "VISIT="
	for _, kind := range kinds {
		visit += " !" + kind + "=" + n.Path(kind)
	}
	out := c.run([]string{visit, "GOCOVERDIR="}, filepath.Join(c.dir, name))
	Expect(json.Unmarshal([]byte(out), &o)).To(Succeed(), out)
	return o, n
}

func thrice(s string) []string { return []string{s, s, s} }

// expectToWork expects a program to do what it should.
func (c consumer) expectToWork(name string) {
	GinkgoHelper()
	o, n := c.tryOut(name, "user", "net", "pid", "time")
	Expect(o.HereErrs).To(Equal(thrice("<nil>")))
	Expect(o.Here).To(Equal(thrice(specs.NamespaceID("self", "net"))))
	Expect(o.ThereErrs).To(Equal(thrice("<nil>")))
	Expect(o.There).To(Equal(thrice(n.ID("net"))))
}

// expectNoLie expects a program to refuse whatever it cannot do.
func (c consumer) expectNoLie(name string) {
	GinkgoHelper()
	o, n := c.tryOut(name, "user", "net", "pid", "time")
	for i := range 3 {
		if o.HereErrs[i] == "<nil>" {
			Expect(o.Here[i]).To(Equal(specs.NamespaceID("self", "net")))
		}
		if o.ThereErrs[i] == "<nil>" {
			Expect(o.There[i]).To(Equal(n.ID("net")))
		}
	}
	Expect(o.ThereErrs).To(Or(Equal(thrice("<nil>")), HaveEach(ContainSubstring("cannot start child, reason: "))))
	AddReportEntry(name, o)
}

var _ = Describe("a program that is linked", func() {

	cgo := []string{"CGO_ENABLED=1"}

	// build builds, or skips the spec if something is missing for that.
	build := func(c consumer, env []string, args ...string) {
		GinkgoHelper()
		out, err := c.command(env, args[0], args[1:]...).CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) || strings.Contains(string(out), "C compiler") {
			Skip(string(out) + err.Error())
		}
		Expect(err).NotTo(HaveOccurred(), string(out))
	}

	It("as usual", func() {
		c := newConsumer(map[string]string{"try.go": linkedProgram, "main.go": linkedMain})
		build(c, cgo, "go", "build", "-o", "program")
		c.expectToWork("program")
	})

	It("by the internal linker refuses namespaces, and works otherwise", func() {
		c := newConsumer(map[string]string{"try.go": linkedProgram, "main.go": linkedMain})
		build(c, cgo, "go", "build", "-ldflags=-linkmode=internal", "-o", "program")
		o, _ := c.tryOut("program", "user", "net")
		Expect(o.HereErrs).To(Equal(thrice("<nil>")))
		Expect(o.Here).To(Equal(thrice(specs.NamespaceID("self", "net"))))
		Expect(o.ThereErrs).To(HaveEach(And(
			ContainSubstring("cannot start child, reason: cannot join namespaces, since the C constructor of this package did not run"),
			ContainSubstring("-linkmode=external"))))
		Expect(o.Unsupported).To(BeTrue())
	})

	DescribeTable("differently works as well",
		func(cc string, args ...string) {
			if _, err := exec.LookPath(cc); err != nil {
				Skip("needs " + cc)
			}
			c := newConsumer(map[string]string{"try.go": linkedProgram, "main.go": linkedMain})
			build(c, append(cgo, "CC="+cc), append([]string{"go", "build", "-o", "program"}, args...)...)
			c.expectToWork("program")
		},
		Entry("statically against glibc", "gcc", "-tags=netgo,osusergo", `-ldflags=-linkmode=external -extldflags=-static`),
		Entry("statically against musl", "musl-gcc", "-tags=netgo,osusergo", `-ldflags=-linkmode=external -extldflags=-static`),
		Entry("as a position-independent executable", "gcc", "-buildmode=pie"),
		Entry("as a static position-independent executable", "gcc", "-buildmode=pie", "-tags=netgo,osusergo", `-ldflags=-linkmode=external -extldflags=-static-pie`),
		Entry("without symbols", "gcc", "-ldflags=-s -w"),
	)

	DescribeTable("in any way has a C library in its children that knows their threads, and frees their mutexes at their end",
		func(cc string, args ...string) {
			if _, err := exec.LookPath(cc); err != nil {
				Skip("needs " + cc)
			}
			n := specs.NewNeighbour("user", "pid")
			for source, want := range map[string]string{threadProgram: "0 <nil>\n", mutexProgram: syscall.EOWNERDEAD.Error() + "\n"} {
				c := newConsumer(map[string]string{"main.go": source})
				build(c, append(cgo, "CC="+cc), append([]string{"go", "build", "-o", "program"}, args...)...)
				Expect(c.run(nil, filepath.Join(c.dir, "program"), filepath.Dir(n.Path("pid")))).To(Equal(want))
			}
		},
		Entry("glibc", "gcc"),
		Entry("glibc, linked statically", "gcc", "-tags=netgo,osusergo", `-ldflags=-linkmode=external -extldflags=-static`),
		Entry("musl, linked statically", "musl-gcc", "-tags=netgo,osusergo", `-ldflags=-linkmode=external -extldflags=-static`),
	)

	It("and rewritten works as well", func() {
		if _, err := exec.LookPath("patchelf"); err != nil {
			Skip("needs patchelf")
		}
		c := newConsumer(map[string]string{"try.go": linkedProgram, "main.go": linkedMain})
		build(c, cgo, "go", "build", "-o", "program")
		interpreter := filepath.Join(c.dir, "a-longer-path-to-its-own-interpreter")
		Expect(os.Symlink(strings.TrimSpace(c.run(nil, "patchelf", "--print-interpreter", "program")), interpreter)).To(Succeed())
		rewrite := func(flags ...string) { // in addition to what has been rewritten already
			GinkgoHelper()
			c.run(nil, "patchelf", append(flags, "program")...)
			c.expectToWork("program")
		}
		rewrite("--set-rpath", "/a/path/to/libraries/where/there/was/none")
		rewrite("--set-interpreter", interpreter)
		rewrite("--add-needed", "libm.so.6")
	})

	It("as a C archive does not lie", func() {
		c := newConsumer(map[string]string{"try.go": linkedProgram, "export.go": linkedExport})
		c.write("main.txt", linkingProgram)
		build(c, cgo, "go", "build", "-buildmode=c-archive", "-o", "libtry.a")
		build(c, nil, "gcc", "-x", "c", "main.txt", "-x", "none", "libtry.a", "-lpthread", "-o", "program")
		c.expectNoLie("program")
	})

	It("as a library does not lie", func() {
		c := newConsumer(map[string]string{"try.go": linkedProgram, "export.go": linkedExport})
		c.write("main.txt", linkingProgram)
		c.write("load.txt", loadingProgram)
		build(c, cgo, "go", "build", "-buildmode=c-shared", "-o", "libtry.so")
		build(c, nil, "gcc", "-x", "c", "main.txt", "-x", "none", "-L.", "-ltry", "-Wl,-rpath,"+c.dir, "-o", "program")
		c.expectNoLie("program")
		build(c, nil, "gcc", "-x", "c", "load.txt", "-x", "none", "-ldl", "-o", "loading")
		c.expectNoLie("loading")
	})

	It("as a plugin does not lie", func() {
		c := newConsumer(map[string]string{"try.go": linkedProgram, "main.go": "package main\n\nfunc main() {}\n"})
		build(c, cgo, "go", "build", "-buildmode=plugin", "-o", "try.plugin")
		Expect(os.Mkdir(filepath.Join(c.dir, "loader"), 0o755)).To(Succeed())
		c.write("loader/main.go", pluginProgram)
		build(c, cgo, "go", "build", "-o", "program", "./loader")
		c.expectNoLie("program")
	})

})
