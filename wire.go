package reexec

import "strings"

// The environment variables that tell a child what to do all start with
// gonsPrefix. Some are read by package gons, in its constructor: gons_TYPE for
// the path of a namespace, and gons_order. The others are read by this package.
const (
	gonsPrefix = "gons_"
	orderVar   = gonsPrefix + "order"          // types of the namespaces to be joined, in order
	actionVar  = gonsPrefix + "reexec_action"  // name of the action
	closeVar   = gonsPrefix + "reexec_close"   // descriptors to be closed: 5,6,7
	deathVar   = gonsPrefix + "reexec_pdeath"  // signal at the parent's death, and the parent's PID: 15,42
	answersVar = gonsPrefix + "reexec_answers" // descriptor for the answers of a function
	readyVar   = gonsPrefix + "reexec_ready"   // set if a function is to tell that it is ready
	hereVar    = gonsPrefix + "reexec_here"    // descriptor of the socket on which to tell the parent: I am here
	socketVar  = gonsPrefix + "reexec_socket"  // intermediate: descriptor of its socket
	lookupVar  = gonsPrefix + "reexec_lookup"  // intermediate: references, as JSON, the last of them the PID namespace's
)

// environ makes the environment of a child out of another one: without its gons
// variables, but with the name of the action. What namespaces there are to be
// joined is still to be added.
func (a *ReexecAction) environ(env []string) []string {
	clean := make([]string, 0, len(env)+len(a.Namespaces)+8) // some more are to come
	for _, variable := range env {
		if !strings.HasPrefix(variable, gonsPrefix) {
			clean = append(clean, variable)
		}
	}
	if raceEnabled {
		clean = withoutRaceSleep(clean)
	}
	return append(clean, actionVar+"="+a.ActionName)
}

// joinVars returns the variables that have package gons join these namespaces.
func joinVars(namespaces []Namespace) []string {
	if len(namespaces) == 0 {
		return nil
	}
	var vars, order []string
	for _, ns := range namespaces {
		vars = append(vars, gonsPrefix+ns.kind()+"="+ns.Path)
		order = append(order, ns.Type)
	}
	return append(vars, orderVar+"="+strings.Join(order, ","))
}

// withoutRaceSleep spares a child the second that the race detector sleeps at a
// program's end (https://go.dev/doc/articles/race_detector, atexit_sleep_ms),
// unless the user wants that.
func withoutRaceSleep(env []string) []string {
	const variable, option = "GORACE=", "atexit_sleep_ms="
	options := ""
	for _, v := range env {
		if strings.HasPrefix(v, variable) {
			options = strings.TrimPrefix(v, variable)
		}
	}
	if strings.Contains(options, option) {
		return env
	}
	return append(env, strings.TrimSuffix(variable+option+"0 "+options, " "))
}
