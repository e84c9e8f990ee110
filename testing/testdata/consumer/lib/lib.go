// Package lib has two statements, of which one is run, and by children only.
package lib

func Used() string   { return "child" }
func Unused() string { return "unused" }
