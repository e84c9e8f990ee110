// A module of its own: clients of the library shall not have to require what it
// is only compared with.
module example.com/gons/reexec/internal/benchmark

go 1.25.0

replace example.com/gons/reexec => ../..

require (
	example.com/gons/reexec v0.0.0-00010101000000-000000000000
	github.com/moby/sys/reexec v0.1.0
	github.com/thediveo/gons v0.9.9
)

require golang.org/x/sys v0.30.0
