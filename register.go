package reexec

import (
	"fmt"
	"slices"
	"sync"

	"example.com/gons/reexec/internal/call"
)

// An Action is a function that a child runs and that talks to its parent by standard streams.
// ([RegisterFunc] is for ordinary functions.) It finds its parameter, if there is one, as a JSON
// value on [os.Stdin], and writes its answer as one JSON value to [os.Stdout]. It has failed if it
// writes anything to [os.Stderr], or exits with another status than 0.
//
// The child of an action is not told when its parent ends: it goes on. [Cmd] with Pdeathsig changes
// that.
type Action func()

// actions maps the names of actions to their functions.
var actions sync.Map

// Register registers an action under a name that is unique in the program.
//
// Parent and child are the same program, so both must register the action before they call
// [CheckAction]: init functions are the place for it. A child does not know an action that is
// registered later.
//
// Register panics if the name is empty or already taken, or if action is nil. It is safe for
// concurrent use.
func Register(name string, action Action) {
	if name == "" || action == nil {
		panic(fmt.Sprintf("gons/reexec: registerAction: re-execution action %q needs both a name and a function", name))
	}
	if _, taken := actions.LoadOrStore(name, action); taken {
		panic(fmt.Sprintf("gons/reexec: registerAction: re-execution action %q already registered", name))
	}
}

// registered returns the action of that name, or nil.
func registered(name string) Action {
	registered, _ := actions.Load(name)
	action, _ := registered.(Action)
	return action
}

// RegisterErrors lets errors of the program travel: if one of them is in the chain of an error that
// a function returns, [errors.Is] finds it in the [*FuncError], too. Many errors of the standard
// library travel without it; see [FuncError.Unwrap].
//
//	var ErrBusy = errors.New("busy")
//
//	func init() { reexec.RegisterErrors(ErrBusy) }
//
// Call it in init functions, or for package-level variables: parent and child must register the
// same errors in the same order. It panics if one of them is nil.
func RegisterErrors(errs ...error) {
	if slices.Contains(errs, nil) {
		panic("gons/reexec: RegisterErrors: nil error")
	}
	call.RegisterErrors(errs)
}
