//go:build !cgo

package specs

const hasCgo = false
