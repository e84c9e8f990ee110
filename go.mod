module example.com/gons/reexec

go 1.25.0

require (
	github.com/thediveo/gons v0.9.9
	golang.org/x/sys v0.13.0
)

require golang.org/x/tools v0.14.0 // indirect
