//go:build cgo

package specs

const hasCgo = true
