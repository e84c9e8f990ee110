//go:build linux

// Command rootless runs a function as root of a new user namespace, with a mount
// namespace of its own, and mounts a tmpfs there, which no other process sees. It needs no
// privileges:
//
//	go run ./examples/rootless
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"syscall"

	"example.com/gons/reexec"
)

// A report is what the function sees inside.
type report struct {
	UID   int
	Files []string
}

// furnish mounts a tmpfs on a folder and puts a file there.
var furnish = reexec.RegisterFunc("furnish", func(folder string) (report, error) {
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, ""); err != nil {
		return report{}, fmt.Errorf("cannot mount a tmpfs on %s: %w", folder, err)
	}
	if err := os.WriteFile(filepath.Join(folder, "table"), nil, 0o600); err != nil {
		return report{}, err
	}
	files, err := list(folder)
	return report{UID: os.Getuid(), Files: files}, err
})

func main() {
	log.SetFlags(0)
	reexec.CheckAction()
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	folder, err := os.MkdirTemp("", "rootless-")
	if err != nil {
		return err
	}
	defer os.Remove(folder)
	inside, err := furnish.Call(context.Background(), folder, reexec.Unshare("user", "mnt"))
	if err != nil {
		return err
	}
	outside, err := list(folder)
	if err != nil {
		return err
	}
	fmt.Printf("inside:  user %d sees %v\n", inside.UID, inside.Files)
	fmt.Printf("outside: user %d sees %v\n", os.Getuid(), outside)
	return nil
}

// list lists the names of the files in a folder.
func list(folder string) (names []string, err error) {
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, err
}
