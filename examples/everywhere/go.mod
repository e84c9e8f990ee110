// A module of its own, since only this example needs errgroup.
module example.com/gons/reexec/examples/everywhere

go 1.25.0

replace example.com/gons/reexec => ../..

require (
	example.com/gons/reexec v0.0.0-00010101000000-000000000000
	golang.org/x/sync v0.20.0
)

require (
	github.com/thediveo/gons v0.9.9 // indirect
	golang.org/x/sys v0.30.0 // indirect
)
