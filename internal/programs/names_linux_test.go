package programs

import (
	"fmt"
	"os"
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
	found, err := lookup.Call(context.Background(), struct{}{}, reexec.Namespaces(namespaces()))
	fmt.Println(strings.Join(found, "\n"), err)
}
`

// hostileModule is a name service whose code tells that it runs.
const hostileModule = `#include <stdio.h>

__attribute__((constructor)) static void run(void) { fprintf(stderr, "code of the container runs\n"); }
`

var _ = Describe("name services in a container", func() {
	DescribeTable("load none of its code", specs.Long,
		func(args ...string) {
			c := newConsumer(map[string]string{"main.go": namesProgram, "visit.go": visitFile, "module.txt": hostileModule})
			path := c.program(gcc, args...)
			n, visit := visit("user", "mnt", "no /etc")
			root := fmt.Sprintf("/proc/%d/root", n.PID)
			c.Run(nil, "gcc", "-shared", "-fPIC", "-x", "c", "module.txt", "-o", filepath.Join(root, n.Hall, "libnss_hostile.so.2"))
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
			out := specs.OK(c.Command([]string{"LD_LIBRARY_PATH=" + n.Hall, "GODEBUG=netdns=cgo", visit}, path).CombinedOutput())
			Expect(strings.Split(string(out), "\n")).To(Equal([]string{
				"[192.0.2.1] <nil>", "4242 <nil>", "4343 <nil>", "4444 <nil>", "false <nil> <nil>", ""}))
		},
		Entry("of a program that is linked as usual"),
		Entry("of one that is linked statically", `-ldflags=-linkmode=external -extldflags=-static`),
	)
})
