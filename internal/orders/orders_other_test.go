//go:build !linux

package orders

func inherited([]string) []string { return nil }
