// A module of its own, since only this example needs a progress bar.
module example.com/gons/reexec/examples/copy

go 1.25.0

replace example.com/gons/reexec => ../..

require (
	example.com/gons/reexec v0.0.0-00010101000000-000000000000
	github.com/schollz/progressbar/v3 v3.19.1
	golang.org/x/sys v0.46.0
	golang.org/x/term v0.44.0
)

require (
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/thediveo/gons v0.9.9 // indirect
)
