package call

import (
	"os"
	"os/signal"
	"sync"
	"time"

	"example.com/gons/reexec/internal/child"
	"example.com/gons/reexec/internal/sys"
)

// A terminal or a service manager signals whole process groups, and what becomes of a call is its parent's to decide.
// So a child catches the signals that would end it as follows.
//
//   - A function that obeys its context is ended by a signal only if its parent decides nothing within the grace period:
//     if it neither cancels the call, nor closes the worker, nor calls again.
//   - A worker that serves no call ignores them: its parent ends it by Close, or by its own end.
//   - A signal ends a plain function, as it ends any program. To stop and to restart the catching takes as long as several calls.
//     So a worker stops it only once a call has lasted a while.
//
// A function with a [signal.Notify] of its own gets each signal once; a worker's plain function may get it twice in the first
// millisecond of a call. If its parent decides nothing, a signal ends also a function that obeys its context and catches it.
type signals struct {
	s      *server
	grace  time.Duration
	caught chan os.Signal // nil: signals are left alone

	mu       sync.Mutex // guards what follows
	calls    int        // that are being served
	catching bool
	end      *time.Timer // ends the child after the grace period
	long     *time.Timer // stops the catching during a long call of a plain function; nil for others
}

// while is how long a plain function runs before it is ended by a signal as any program is.
const while = time.Millisecond

func newSignals(s *server, o child.Orders) *signals {
	g := &signals{s: s, grace: o.Grace}
	if !s.function.Context && s.many == 0 {
		return g
	}
	g.caught = make(chan os.Signal, 1)
	g.catch()
	if !s.function.Context {
		g.long = time.AfterFunc(while, g.endure)
	}
	go func() {
		for caught := range g.caught {
			g.obey(caught)
		}
	}()
	return g
}

// catch catches the signals that the parent does not ignore. It needs mu, once others know g.
func (g *signals) catch() {
	for _, s := range sys.GroupSignals {
		if !signal.Ignored(s) {
			signal.Notify(g.caught, s)
		}
	}
	g.catching = true
}

// obey does what a signal asks for.
func (g *signals) obey(caught os.Signal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch serves := g.calls > 0 || g.s.many == 0; {
	case !serves:
	case !g.s.function.Context: // as if it had not been caught, so one that the function catches, too, comes twice
		g.letGo()
		sys.SignalSelf(caught)
	case g.end == nil:
		g.end = time.AfterFunc(g.grace, func() { g.die(caught) })
	}
}

// die ends this child by a signal, as if it had not been caught.
func (g *signals) die(s os.Signal) {
	signal.Reset(s)
	if os.Getpid() != 1 {
		sys.SignalSelf(s)
		time.Sleep(g.grace + while) // until it arrives
	}
	// The first process of a PID namespace is out of its own reach (pid_namespaces(7)).
	g.s.last(Ended, "child was ended by signal: "+s.String())
	child.Exit(2)
}

// decided notes that the parent has decided.
func (g *signals) decided() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop()
}

// stop takes the end of the child back. It needs mu.
func (g *signals) stop() {
	if g.end != nil {
		g.end.Stop()
		g.end = nil
	}
}

// begin begins a call.
func (g *signals) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop()
	if g.calls++; g.calls == 1 && g.long != nil {
		g.long.Reset(while)
	}
}

// endure stops the catching during a call that lasts a while, unless that has just ended.
func (g *signals) endure() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls > 0 {
		g.letGo()
	}
}

// letGo stops the catching. It needs mu.
func (g *signals) letGo() {
	signal.Stop(g.caught)
	g.catching = false
}

// finish ends a call.
func (g *signals) finish() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls--; g.calls > 0 {
		return
	}
	g.stop()
	if g.long != nil {
		g.long.Stop()
	}
	if !g.catching && g.caught != nil {
		g.catch()
	}
}
