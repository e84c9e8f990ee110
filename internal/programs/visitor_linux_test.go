package programs

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"example.com/gons/reexec/internal/specs"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// visitFile is a file of programs that visit the namespaces that VISIT names.
const visitFile = `package main

import (
	"os"
	"strings"

	"example.com/gons/reexec"
)

func namespaces() (namespaces []reexec.Namespace) {
	for _, ns := range strings.Fields(os.Getenv("VISIT")) {
		typ, path, _ := strings.Cut(ns, "=")
		namespaces = append(namespaces, reexec.Namespace{Type: typ, Path: path})
	}
	return namespaces
}

func network() (id string, err error) { return os.Readlink("/proc/self/ns/net") }

func must(err error) {
	if err != nil {
		panic(err)
	}
}
`

// visit starts a neighbour, and returns the variable that has a program visit it.
func visit(kinds ...string) (n *specs.Neighbour, variable string) {
	GinkgoHelper()
	n, variable = specs.NewNeighbour(kinds...), "VISIT="
	for _, kind := range kinds {
		if !strings.Contains(kind, "/") {
			variable += " !" + kind + "=" + n.Path(kind)
		}
	}
	return n, variable
}

// visitorFile runs an action and functions here and there, and prints what has come of that as JSON: an outcome. With EARLY
// it checks for its action in an init function.
const visitorFile = `package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"example.com/gons/reexec"
)

var function = reexec.RegisterFunc("function", func(struct{}) (string, error) { return network() })

func init() {
	reexec.Register("network", func() {
		id, _ := network()
		json.NewEncoder(os.Stdout).Encode(id)
	})
	reexec.Register("race", func() { fmt.Printf("%q", os.Getenv("GORACE")) })
	if os.Getenv("EARLY") != "" {
		reexec.CheckAction()
	}
}

type sight struct {
	IDs, Errs   []string
	Unsupported bool
}

func look(options ...reexec.ReexecActionOption) (s sight) {
	tell := func(id string, err error) {
		s.IDs, s.Errs = append(s.IDs, id), append(s.Errs, fmt.Sprint(err))
		s.Unsupported = s.Unsupported || errors.Is(err, errors.ErrUnsupported)
	}
	id := ""
	err := reexec.RunReexecAction("network", append(options, reexec.Result(&id))...)
	tell(id, err)
	tell(function.Call(context.Background(), struct{}{}, options...))
	worker, err := function.Start(context.Background(), options...)
	if err != nil {
		tell("", err)
		return s
	}
	id, err = worker.Call(context.Background(), struct{}{})
	tell(id, errors.Join(err, worker.Close()))
	return s
}

// Try is main.
func Try() {
	if os.Getenv("EARLY") == "" {
		reexec.CheckAction()
	}
	race := ""
	_ = reexec.RunReexecAction("race", reexec.Result(&race))
	json.NewEncoder(os.Stdout).Encode(map[string]any{"Race": race, "Here": look(), "There": look(reexec.Namespaces(namespaces()))})
}
`

// A sight is what has come of an action, of a function, and of that in a worker.
type sight struct {
	IDs, Errs   []string // of network namespaces
	Unsupported bool     // an error is an errors.ErrUnsupported
}

func sees(id string) sight {
	return sight{IDs: []string{id, id, id}, Errs: []string{"<nil>", "<nil>", "<nil>"}}
}

type outcome struct {
	Race        string // the race detector's options in the child
	Here, There sight
}

func visitorFiles(main string) map[string]string {
	return map[string]string{"visit.go": visitFile, "visitor.go": visitorFile, "main.go": "package main\n" + main}
}

var visitors = map[string]string{}

// visitor returns the path of a visitor that is built in a certain way, once for all specs.
func visitor(env string, args ...string) string {
	GinkgoHelper()
	way := env + strings.Join(args, " ")
	if visitors[way] == "" {
		path := filepath.Join(shared, fmt.Sprint("visitor", len(visitors)))
		newConsumer(visitorFiles("func main() { Try() }\n")).program(env, append([]string{"-o", path}, args...)...)
		visitors[way] = path
	}
	return visitors[way]
}

// outcomeOf returns what a visitor prints, in an environment in addition to this one.
func outcomeOf(path string, env ...string) (o outcome) {
	GinkgoHelper()
	c := consumer{specs.Module{Dir: filepath.Dir(path)}}
	out := c.Run(append(env, "GOCOVERDIR="), path)
	Expect(json.Unmarshal([]byte(out), &o)).To(Succeed(), out)
	return o
}

// expectToWork expects a visitor to do what it should, in this environment, too.
func expectToWork(path string, env ...string) {
	GinkgoHelper()
	n, visit := visit("user", "net", "pid", "time")
	o := outcomeOf(path, append(env, visit)...)
	Expect(o.Here).To(Equal(sees(specs.NamespaceID("self", "net"))))
	Expect(o.There).To(Equal(sees(n.ID("net"))))
}

// expectNoLie expects a visitor to refuse whatever it cannot do.
func expectNoLie(path string) {
	GinkgoHelper()
	n, visit := visit("user", "net", "pid", "time")
	o := outcomeOf(path, visit)
	for i := range 3 {
		if o.Here.Errs[i] == "<nil>" {
			Expect(o.Here.IDs[i]).To(Equal(specs.NamespaceID("self", "net")))
		}
	}
	Expect(o.There).To(Or(Equal(sees(n.ID("net"))), HaveField("Errs", HaveEach(ContainSubstring("cannot start child, reason: ")))))
	AddReportEntry(path, o)
}

const (
	cgo = "CGO_ENABLED=1"
	gcc = "CGO_ENABLED=1 CC=gcc"

	static    = "-ldflags=-linkmode=external -extldflags=-static"
	staticPIE = "-ldflags=-linkmode=external -extldflags=-static-pie"
	netgo     = "-tags=netgo,osusergo"
	internal  = "-ldflags=-linkmode=internal"
)

var _ = Describe("a program that is linked", func() {
	It("as usual", func() { expectToWork(visitor(cgo)) })

	It("as usual may check for its action in an init function", func() { expectToWork(visitor(cgo), "EARLY=1") })

	DescribeTable("refuses namespaces, and works otherwise", func(reason, env string, args ...string) {
		specs.NeedsNamespaces("user", "net")
		path := visitor(env, args...)
		for _, early := range []string{"EARLY=", "EARLY=1"} {
			o := outcomeOf(path, "VISIT=!net=/proc/self/ns/net", early)
			Expect(o.Here).To(Equal(sees(specs.NamespaceID("self", "net"))))
			Expect(o.There.Errs).To(HaveEach(HaveSuffix(": cannot start child, reason: cannot join namespaces" + reason + ": unsupported operation")))
			Expect(o.There.Errs[0]).To(HavePrefix("gons/reexec: ReexecAction.Run: cannot start child"))
			Expect(o.There.Unsupported).To(BeTrue())
		}
	},
		Entry("without cgo", " in a program built without cgo", "CGO_ENABLED=0"),
		Entry("by the internal linker", ", since the C constructor of this package did not run when this program started: link it externally (-linkmode=external)", cgo, internal),
	)

	DescribeTable("differently works as well", specs.Long, func(env string, args ...string) { expectToWork(visitor(env, args...)) },
		Entry("statically against glibc", gcc, netgo, static),
		Entry("statically against musl", "CGO_ENABLED=1 CC=musl-gcc", netgo, static),
		Entry("as a position-independent executable", gcc, "-buildmode=pie"),
		Entry("as a static position-independent executable", gcc, "-buildmode=pie", netgo, staticPIE),
		Entry("without symbols", gcc, "-ldflags=-s -w"),
	)

	It("and rewritten works as well", func() {
		c := consumer{specs.Module{Dir: GinkgoT().TempDir()}}
		program := filepath.Join(c.Dir, "program")
		patch := func(args ...string) { // in addition to what has been rewritten already
			GinkgoHelper()
			c.build("", append(append([]string{"patchelf"}, args...), program)...)
			expectToWork(program)
		}
		c.Run(nil, "cp", visitor(cgo), program)
		patch("--set-rpath", "/a/path/to/libraries/where/there/was/none")
		interpreter := filepath.Join(c.Dir, "a-longer-path-to-its-own-interpreter")
		c.Run(nil, "ln", "-s", strings.TrimSpace(c.Run(nil, "patchelf", "--print-interpreter", program)), interpreter)
		patch("--set-interpreter", interpreter)
		patch("--add-needed", "libm.so.6")
	})

	It("with the race detector has children that do not sleep at their exit", specs.Long, func() {
		path := visitor(cgo, "-race")
		for given, want := range map[string][]string{
			"": {"atexit_sleep_ms=0"}, "history_size=2": {"atexit_sleep_ms=0", "history_size=2"},
			"atexit_sleep_ms=5 history_size=2": {"atexit_sleep_ms=5", "history_size=2"},
		} {
			Expect(strings.Fields(outcomeOf(path, "GORACE="+given).Race)).To(ConsistOf(want), given)
		}
	})

	It("for other systems can be built", specs.Long, func() {
		c := newConsumer(visitorFiles("func main() { Try() }\n"))
		var builds []func()
		for _, system := range []string{"darwin", "freebsd", "windows"} {
			builds = append(builds, func() { c.build("CGO_ENABLED=0 GOOS="+system, "go", "build", "-o", system) })
		}
		together(builds...)
	})

	When("it is a part of another one, does not lie", specs.Long, func() {
		const export = "import \"C\"\n\n//export TryFromC\nfunc TryFromC() { Try() }\n\nfunc main() {}\n"
		const linking = "extern void TryFromC(void);\n\nint main(void) { TryFromC(); return 0; }\n"
		const loading = `#include <dlfcn.h>
#include <stdio.h>

int main(void)
{
	void *library = dlopen("./libtry.so", RTLD_NOW);
	void (*try)(void) = library ? (void (*)(void))dlsym(library, "TryFromC") : NULL;

	return try ? (try(), 0) : (fprintf(stderr, "%s\n", dlerror()), 1);
}
`

		DescribeTable("of a program in C", func(mode, library, main string, linked ...string) {
			c := newConsumer(visitorFiles(export))
			c.Write("main.txt", main)
			c.build(cgo, "go", "build", "-buildmode="+mode, "-o", library)
			c.build("", append([]string{"gcc", "-x", "c", "main.txt", "-o", "program", "-x", "none"}, linked...)...)
			expectNoLie(filepath.Join(c.Dir, "program"))
		},
			Entry("as a C archive", "c-archive", "libtry.a", linking, "libtry.a", "-lpthread"),
			Entry("as a library", "c-shared", "libtry.so", linking, "-L.", "-ltry", "-Wl,-rpath,."),
			Entry("as a library that is loaded later", "c-shared", "libtry.so", loading, "-ldl"),
		)

		It("as a plugin", func() {
			c := newConsumer(visitorFiles("func main() {}\n"))
			c.Write("loader/main.go", `package main

import "plugin"

func main() {
	p, err := plugin.Open("./try.plugin")
	if err != nil {
		panic(err)
	}
	try, _ := p.Lookup("Try")
	try.(func())()
}
`)
			c.build(cgo, "go", "build", "-buildmode=plugin", "-o", "try.plugin")
			expectNoLie(c.program(cgo, "./loader"))
		})
	})
})

// threadFile asks the C library about the main thread of a child in a PID namespace, of which the library keeps the ID. And
// a child ends while its main thread holds a mutex that it shares with its parent.
const threadFile = `package main

/*
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

static pthread_t main_thread;
static pthread_mutex_t *mutex;

static void remember(void) { main_thread = pthread_self(); }
static int is_there(void) { return pthread_kill(main_thread, 0); }

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
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"example.com/gons/reexec"
)

func init() {
	runtime.LockOSThread() // main, and so CheckAction, are on the main thread, and other goroutines on others
	C.remember()
	reexec.Register("lock", func() { fmt.Println(C.map_(3), C.lock()) })
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
	there := reexec.Namespaces(namespaces())
	fmt.Println(isThere.Call(context.Background(), struct{}{}, there))
	f, err := os.CreateTemp("", "")
	must(err)
	must(os.Remove(f.Name()))
	must(f.Truncate(4096))
	if C.map_(C.int(f.Fd())) != 0 || C.make_() != 0 {
		panic("no mutex")
	}
	must(reexec.RunReexecAction("lock", there, reexec.Cmd(func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{f} })))
	fmt.Println(syscall.Errno(C.lock()))
}
`

var _ = DescribeTable("a C library in children knows their threads, and frees their mutexes at their end", func(env string, args ...string) {
	_, visit := visit("user", "pid")
	c := newConsumer(map[string]string{"visit.go": visitFile, "main.go": threadFile})
	path := c.program(env, args...)
	Expect(c.Run([]string{visit}, path)).To(Equal("0 <nil>\nowner died\n"))
},
	Entry("glibc", gcc),
	Entry("glibc, linked statically", specs.Long, gcc, netgo, static),
	Entry("musl, linked statically", specs.Long, "CGO_ENABLED=1 CC=musl-gcc", netgo, static),
)
