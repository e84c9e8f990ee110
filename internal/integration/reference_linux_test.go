package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"example.com/gons/reexec"
	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = DescribeTable("a reference is a path as any other, so it may be",
	func(path func(n *neighbour, dir, kind string) string) {
		kinds := []string{"net", "pid", "time"}
		n := newNeighbour("user", "net", "pid", "time")
		dir := GinkgoT().TempDir()
		for _, kind := range kinds {
			path := path(n, dir, kind)
			for _, typ := range []string{kind, "!" + kind} {
				ids := visit([]reexec.Namespace{n.namespace("!user"), {Type: typ, Path: path}},
					reexec.Cmd(func(cmd *exec.Cmd) { cmd.Dir = dir }))
				Expect(ids).To(HaveKeyWithValue(kind, n.ID(kind)), typ)
			}
		}
	},
	Entry("relative to the working directory of the child", func(n *neighbour, dir, kind string) string {
		link(n.namespace(kind).Path, filepath.Join(dir, kind))
		return kind
	}),
	Entry("relative, and upwards", func(n *neighbour, dir, kind string) string {
		path, err := filepath.Rel(dir, n.namespace(kind).Path)
		Expect(err).NotTo(HaveOccurred())
		return path
	}),
	Entry("through a link and back up, which leads elsewhere than the text of the path", func(n *neighbour, dir, kind string) string {
		link(n.namespace(kind).Path, filepath.Join(dir, kind))
		deep := filepath.Join(dir, "deep-"+kind)
		Expect(os.MkdirAll(filepath.Join(deep, "inside"), 0o700)).To(Succeed())
		link(n.namespace(kind).Path, filepath.Join(deep, "it"))
		link("/proc/self/ns/uts", filepath.Join(dir, "it-"+kind)) // what must not be found
		link(filepath.Join(deep, "inside"), filepath.Join(dir, "door-"+kind))
		return dir + "/door-" + kind + "/../it"
	}),
	Entry("of bytes that are no UTF-8", func(n *neighbour, dir, kind string) string {
		path := filepath.Join(dir, "\xff\xfe\x80 \"'\\"+kind)
		link(n.namespace(kind).Path, path)
		return path
	}),
	Entry("with an equals sign, a comma and a bang", func(n *neighbour, dir, kind string) string {
		path := filepath.Join(dir, "!a=b,c "+kind)
		link(n.namespace(kind).Path, path)
		return path
	}),
	Entry("with the word for a variable of gons", func(n *neighbour, dir, kind string) string {
		path := filepath.Join(dir, " gons_user "+kind)
		link(n.namespace(kind).Path, path)
		return path
	}),
)

func link(target, path string) {
	GinkgoHelper()
	Expect(os.Symlink(target, path)).To(Succeed())
}

var _ = Describe("a reference that leads nowhere", func() {

	DescribeTable("is told as it is",
		func(path, shown string) {
			for _, typ := range []string{"net", "!pid", "time"} {
				expectJoinError(reexec.Namespace{Type: typ, Path: path}, syscall.ENOENT,
					"invalid gons_"+kind(typ)+" reference \""+shown+"\": No such file or directory",
					reexec.Namespaces([]reexec.Namespace{{Type: typ, Path: path}}))
			}
		},
		Entry("with the word for a variable of gons", "/nowhere gons_user x", "/nowhere gons_user x"),
		Entry("that is no UTF-8", "/nowhere\xff", `/nowhere\xff`),
		Entry("relative", "no/where", "no/where"),
	)

	It("is an error of exec if it cannot be a path at all", func() {
		for _, typ := range []string{"net", "time"} {
			err := reexec.RunReexecAction("silent", reexec.Namespaces([]reexec.Namespace{{Type: typ, Path: "/a\x00b"}}))
			Expect(err).To(HaveOccurred())
			asActionError(err)
		}
	})

})

var _ = DescribeTable("types that there are not start nothing",
	func(typ, message string) {
		specs.NeedsCgo()
		for _, way := range waysIn {
			Expect(way.run(reexec.Namespaces([]reexec.Namespace{{Type: typ, Path: "/proc/self/ns/net"}}),
				reexec.Cmd(func(cmd *exec.Cmd) { Fail("a child is about to be started") }))).To(
				MatchError(HaveSuffix("cannot start child, reason: " + message)))
		}
	},
	Entry(nil, "foo", `unknown namespace type "foo"`),
	Entry(nil, "!foo", `unknown namespace type "foo"`),
	Entry(nil, "", `unknown namespace type ""`),
	Entry(nil, "!!net", `unknown namespace type "!net"`),
	Entry(nil, "NET", `unknown namespace type "NET"`),
	Entry(nil, "pid_for_children", `unknown namespace type "pid_for_children"`),
	Entry(nil, "reexec_socket", `unknown namespace type "reexec_socket"`),
	Entry(nil, "order", `unknown namespace type "order"`),
)
