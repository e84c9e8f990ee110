//go:build !linux

package testsupport

// A child has never left its working directory, and the path of the directory for coverage data leads there.

func takeDirectory(string) {}
func Return() error        { return nil }
func enterDirectory()      {}
