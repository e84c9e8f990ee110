// Package consumer has four statements. In each test the parent runs one and its
// children run another, so the right answer is always 50.0 %.
package consumer

import "an.example/consumer/lib"

func Parent() string       { return "parent" }
func Child() string        { return lib.Used() }
func Unused() string       { return "unused" }
func UnusedEither() string { return "unused, either" }
