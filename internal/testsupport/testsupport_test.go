package testsupport

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = DescribeTable("warnings of the runtime", func(stderr, rest string) {
	Expect(WithoutWarnings(stderr)).To(Equal(rest))
},
	Entry("nothing", "", ""),
	Entry("first warning", "warning: GOCOVERDIR not set, no coverage data emitted\n", ""),
	Entry("second warning", "program not built with -cover\n", ""),
	Entry("both, twice",
		"program not built with -cover\nwarning: GOCOVERDIR not set, no coverage data emitted\n"+
			"program not built with -cover\nwarning: GOCOVERDIR not set, no coverage data emitted\n", ""),
	Entry("a failure before", "D'oh!\nprogram not built with -cover\n", "D'oh!\n"),
	Entry("a failure after", "program not built with -cover\nD'oh!", "D'oh!"),
	Entry("failures around",
		"no\nprogram not built with -cover\n\nnot\nwarning: GOCOVERDIR not set, no coverage data emitted\nat all\n",
		"no\n\nnot\nat all\n"),
	Entry("a lone newline", "\n", "\n"),
	Entry("an empty line after a warning", "program not built with -cover\n\n", "\n"),
	Entry("white space", " \t\r\n ", " \t\r\n "),
	Entry("bytes that are no text", "\x00\xff\n\xfe", "\x00\xff\n\xfe"),
	Entry("a warning in a line", "D'oh! program not built with -cover\n", "D'oh! program not built with -cover\n"),
	Entry("a line that goes on", "program not built with -cover!\n", "program not built with -cover!\n"),
	Entry("an indented line", " program not built with -cover\n", " program not built with -cover\n"),
	Entry("another end of line", "program not built with -cover\r\n", "program not built with -cover\r\n"),
	Entry("a line without its end", "program not built with -cover", "program not built with -cover"),
)
