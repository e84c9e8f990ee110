package testing

import (
	"strings"

	"example.com/gons/reexec/internal/specs"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var raceBinary = built("built-race", "test", "-c", "-race", "an.example/consumer")

var _ = Describe("data races in re-executed children", specs.Long, func() {
	BeforeEach(func() {
		if strings.TrimSpace(succeed(nil, "go", "env", "CGO_ENABLED")) != "1" {
			Skip("the race detector needs cgo")
		}
	})

	DescribeTable("fail the test binary, whoever looks at errors", func(test, function string) {
		out, err := output(nil, raceBinary(), "-test.run=^"+test+"$")
		Expect(err).To(MatchError("exit status 1"), "%s", out)
		Expect(out).To(MatchRegexp("(?m)^PASS$"), "no test tells")
		Expect(out).To(HaveSuffix("\nFAIL: data race in a re-executed child, which ran \"" + function + "\" (see its stderr)\n"))
	},
		Entry("of an action", "TestRaceOfAction", "racy action"),
		Entry("of a call", "TestRaceOfCall", "racy function"),
		Entry("of a worker", "TestRaceOfWorker", "racy function"),
		Entry("of a worker that is killed", "TestRaceOfKilledWorker", "racy function"),
		Entry("of a stream", "TestRaceOfStream", "racy stream"),
	)

	It("are what the status of a child says", func() {
		out, _ := output(nil, raceBinary(), "-test.v", "-test.run=^TestRaceError$")
		Expect(out).To(ContainSubstring("--- PASS"))
		Expect(out).To(ContainSubstring(`gons/reexec: function "racy function": child failed, reason: ` +
			"exit status 66 (the race detector has reported a data race)"))
	})

	It("are not there where a child fails in another way", func() {
		out := succeed(nil, raceBinary(), "-test.run=^(TestPanic|TestExit|TestFuncPanic)$")
		Expect(out).NotTo(ContainSubstring("race detector"))
	})

	It("are no matter of a program without the race detector", func() {
		out := succeed(nil, testBinary(), "-test.v", "-test.run=^TestStatus$")
		Expect(out).To(ContainSubstring("exit status 66"))
		Expect(out).NotTo(ContainSubstring("race detector"))
	})
})
