//go:build !linux

package reexec

import (
	"fmt"
	"os"
)

func namespacesOf(int, []string) ([]Namespace, error) {
	return nil, fmt.Errorf("gons/reexec: NamespacesOf: %w", cannotJoin())
}

func namespaceFile(*os.File) (Namespace, error) { return Namespace{}, cannotJoin() }
