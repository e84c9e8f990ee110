package programs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"example.com/gons/reexec/internal/specs"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// namesProgram has a function look up names in a container, by way of the C library, and tell which modules that has loaded.
const namesProgram = `package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"strings"

	"example.com/gons/reexec"
)

var lookup = reexec.RegisterFunc("lookup", func(struct{}) (found []string, err error) {
	add := func(v any, err error) { found = append(found, fmt.Sprint(v, " ", err)) }
	add(net.LookupHost("inside.example"))
	u, err := user.Lookup("insider")
	add(u.Uid, err)
	g, err := user.LookupGroup("insiders")
	add(g.Gid, err)
	add(net.LookupPort("tcp", "inside"))
	maps, err := os.ReadFile("/proc/self/maps")
	add(strings.Contains(string(maps), "hostile"), err)
	return found, nil
})

func main() {
	reexec.CheckAction()
	var namespaces []reexec.Namespace
	for _, kind := range []string{"user", "mnt"} {
		namespaces = append(namespaces, reexec.Namespace{Type: "!" + kind, Path: os.Args[1] + "/" + kind})
	}
	found, err := lookup.Call(context.Background(), struct{}{}, reexec.Namespaces(namespaces))
	fmt.Println(strings.Join(found, "\n"), err)
}
`

// hostileModule is a name service whose code tells that it runs.
const hostileModule = `#include <stdio.h>

__attribute__((constructor)) static void run(void) { fprintf(stderr, "code of the container runs\n"); }
`

var _ = Describe("name services in a container", func() {

	DescribeTable("load none of its code",
		func(args ...string) {
			c := newConsumer(map[string]string{"main.go": namesProgram, "module.txt": hostileModule})
			if out, err := exec.Command("gcc", "-dumpmachine").CombinedOutput(); err != nil {
				Skip("needs a C compiler: " + string(out))
			}
			c.run([]string{"CGO_ENABLED=1", "CC=gcc"}, "go", append([]string{"build", "-o", "program"}, args...)...)

			n := specs.NewNeighbour("user", "mnt", "no /etc")
			root := fmt.Sprintf("/proc/%d/root", n.PID)
			module := filepath.Join(root, n.Hall, "libnss_hostile.so.2")
			c.run(nil, "gcc", "-shared", "-fPIC", "-x", "c", "module.txt", "-o", module)
			for name, content := range map[string]string{
				"nsswitch.conf": "hosts: hostile files\npasswd: hostile files\ngroup: hostile files\nservices: hostile files\ninitgroups: hostile files\n",
				"hosts":         "192.0.2.1 inside.example\n",
				"passwd":        "insider:x:4242:4242::/:/bin/false\n",
				"group":         "insiders:x:4343:\n",
				"services":      "inside 4444/tcp\n",
			} {
				Expect(os.WriteFile(filepath.Join(root, "etc", name), []byte(content), 0o644)).To(Succeed())
			}
			// Thus the module is found without a change of the machine. In a container it lies where all libraries do.
			env := []string{"LD_LIBRARY_PATH=" + n.Hall, "GODEBUG=netdns=cgo", "GOCOVERDIR="}
			program := c.command(env, filepath.Join(c.dir, "program"), filepath.Dir(n.Path("user")))
			out, err := program.CombinedOutput()
			Expect(err).NotTo(HaveOccurred())
			Expect(strings.Split(string(out), "\n")).To(Equal([]string{
				"[192.0.2.1] <nil>", "4242 <nil>", "4343 <nil>", "4444 <nil>", "false <nil> <nil>", ""}))
		},
		Entry("of a program that is linked as usual"),
		Entry("of one that is linked statically", `-ldflags=-linkmode=external -extldflags=-static`),
	)

})
