//go:build (unix && !aix && !linux) || windows

package specs

// BeInit does nothing: only Linux has PID namespaces.
func BeInit() {}
