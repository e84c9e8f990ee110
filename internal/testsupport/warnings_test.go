package testsupport

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = DescribeTable("warnings of the runtime", func(stderr, rest string) {
	said := stripLines(stripCoverage([]byte(stderr)), "WARNING: no luck, errno ")
	Expect(string(said)).To(Equal(rest))
	if !RaceEnabled && !Instrumented() {
		Expect(string(Strip([]byte(stderr)))).To(Equal(stderr), "where there are no warnings")
	}
},
	Entry("nothing", "", ""),
	Entry("first warning", "warning: GOCOVERDIR not set, no coverage data emitted\n", ""),
	Entry("second warning", "program not built with -cover\n", ""),
	Entry("both, twice",
		"program not built with -cover\nwarning: GOCOVERDIR not set, no coverage data emitted\n"+
			"program not built with -cover\nwarning: GOCOVERDIR not set, no coverage data emitted\n", ""),
	Entry("a failure before", "D'oh!\nprogram not built with -cover\n", "D'oh!\n"),
	Entry("a failure after", "program not built with -cover\nD'oh!", "D'oh!"),
	Entry("failures around", "no\nprogram not built with -cover\n\nnot\nwarning: GOCOVERDIR not set, no coverage data emitted\nat all\n", "no\n\nnot\nat all\n"),
	Entry("with numbers", "==42==WARNING: no luck, errno 2\n==7==WARNING: no luck, errno 13\n", ""),
	Entry("with numbers in the wrong place", "==42==WARNING: no 1 luck, errno 2\n", "==42==WARNING: no 1 luck, errno 2\n"),
	Entry("a failure to write data", "D'oh!\nerror: coverage counter data emit failed: no space left on device\nno", "D'oh!\nno"),
	Entry("two of them, the first with an empty line", "error: coverage meta-data emit failed: write 42: file too large\n\nerror: coverage counter data emit failed: write 42\n", ""),
	Entry("one with two empty lines", "error: coverage meta-data emit failed: why\n\n\n", "\n"),
	Entry("one without its end", "error: coverage meta-data emit failed: why", ""),
	Entry("the beginning of one", "error: coverage meta-data\n", "error: coverage meta-data\n"),
	Entry("one in a line", "D'oh! error: coverage meta-data emit failed: why\n", "D'oh! "),
	Entry("a lone newline", "\n", "\n"),
	Entry("an empty line after a warning", "program not built with -cover\n\n", "\n"),
	Entry("white space", " \t\r\n ", " \t\r\n "),
	Entry("bytes that are no text", "\x00\xff\n\xfe", "\x00\xff\n\xfe"),
	Entry("a warning in a line", "D'oh! program not built with -cover\n", "D'oh! "),
	Entry("a line that goes on", "program not built with -cover!\n", "program not built with -cover!\n"),
	Entry("one after another that is not whole", "program nprogram not built with -cover\n", "program n"),
	Entry("one with a number in a line", "42==42==WARNING: no luck, errno 2\n", "42"),
	Entry("another end of line", "program not built with -cover\r\n", "program not built with -cover\r\n"),
	Entry("a line without its end", "program not built with -cover", "program not built with -cover"),
)
