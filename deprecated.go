package reexec

// ForkReexec runs the named action in these namespaces and decodes its answer into result.
//
// Deprecated: use [RunReexecAction] with [Namespaces] and [Result].
func ForkReexec(actionname string, namespaces []Namespace, result interface{}) (err error) {
	return RunReexecAction(actionname, Namespaces(namespaces), Result(result))
}

// ForkReexecEnv runs the named action in these namespaces, with additional environment variables,
// and decodes its answer into result.
//
// Deprecated: use [RunReexecAction] with [Namespaces], [Environment] and [Result].
func ForkReexecEnv(actionname string, namespaces []Namespace, envvars []string, result interface{}) (err error) {
	return RunReexecAction(actionname, Namespaces(namespaces), Environment(envvars), Result(result))
}
