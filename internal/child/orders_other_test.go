//go:build !linux

package child

func inherited([]string) []string { return nil }
