//go:build !linux

package specs

// BeInit does nothing: only Linux has PID namespaces.
func BeInit() {}
