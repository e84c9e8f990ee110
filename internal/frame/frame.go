// Package frame is what a function and its caller say to each other: frames, which hold
// parameters and answers as JSON, on pipes, and messages, which hold open files and
// cancellations, on a socket beside them. Who writes them and who reads them stand side by
// side. It is for package conversation, the caller's side, and package serve, the
// function's.
package frame

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
)

// A Kind says what a frame is.
type Kind byte

// Kinds of frames. All but the first are answers.
const (
	Param     Kind = 'P' // a parameter; begins a call
	Ready     Kind = 'R' // null; the child is in its namespaces and serves calls
	Refusal   Kind = 'S' // text: the child cannot serve at all, and ends
	Event     Kind = 'V' // an event of a stream; more are to come
	Result    Kind = 'A' // the result of a call
	Failed    Kind = 'E' // a Failure
	Panicked  Kind = 'X' // a Panic; the child ends
	Bad       Kind = 'B' // a Failure: a parameter could not be decoded, or an answer not be sent
	Withdrawn Kind = 'W' // null: the call was cancelled before it began
)

// A Failure is what travels of an error.
type Failure struct {
	Message string
	Errnos  []syscall.Errno `json:",omitempty"` // all that are in its chain
	Is      []int           `json:",omitempty"` // which of the wellKnown were in its chain
}

// wellKnown are errors that are the same on both sides: those of packages context and os, as of Go 1.25.
var wellKnown = []error{
	context.DeadlineExceeded, context.Canceled,
	os.ErrInvalid, os.ErrPermission, os.ErrExist, os.ErrNotExist, os.ErrClosed, os.ErrNoDeadline, os.ErrDeadlineExceeded, os.ErrProcessDone,
}

// NewFailure keeps of an error what is understood elsewhere.
func NewFailure(what string, err error) Failure {
	f := Failure{Message: what + err.Error(), Errnos: errnos(err, nil)}
	for i, known := range wellKnown {
		implied := func(errno syscall.Errno) bool { return errno.Is(known) }
		if errors.Is(err, known) && !slices.ContainsFunc(f.Errnos, implied) {
			f.Is = append(f.Is, i)
		}
	}
	return f
}

// errnos returns each one in the tree of an error once, in the order in which errors.As finds them, after those that are
// known.
func errnos(err error, known []syscall.Errno) []syscall.Errno {
	errno, found := err.(syscall.Errno)
	if as, ok := err.(interface{ As(any) bool }); ok && !found {
		found = as.As(&errno)
	}
	if found && !slices.Contains(known, errno) {
		known = append(known, errno)
	}
	switch wrapper := err.(type) {
	case interface{ Unwrap() error }:
		known = errnos(wrapper.Unwrap(), known)
	case interface{ Unwrap() []error }:
		for _, err := range wrapper.Unwrap() {
			known = errnos(err, known)
		}
	}
	return known
}

// Causes are what errors.Is finds.
func (f Failure) Causes() (causes []error) {
	for _, errno := range f.Errnos {
		causes = append(causes, errno)
	}
	for _, i := range f.Is {
		if i >= 0 && i < len(wellKnown) { // a child may say anything
			causes = append(causes, wellKnown[i])
		}
	}
	return causes
}

// A Panic is a panic of a function.
type Panic struct {
	Value string
	Stack []byte
}

// A Frame is a frame that has been read.
type Frame struct {
	Header
	Length uint64 // in bytes, of what follows the header
	names  []byte
	Value  []byte     // JSON
	Open   []*os.File // the files that have been received for it
	opens  bool       // files may belong to the value
	err    error      // why they have not
}

// Unmarshal decodes the value, open files included. Those that are not wanted, also
// because of an error or a panic, are closed.
func (f *Frame) Unmarshal(value any) error {
	defer f.CloseFiles()
	if f.err != nil {
		return f.err
	}
	if err := json.Unmarshal(f.Value, value); err != nil {
		return err
	}
	if len(f.Open) == 0 && !f.opens {
		return nil
	}
	if err := putFiles(value, f.Open); err != nil {
		return err
	}
	f.Open = nil // they are the caller's now
	return nil
}

// CloseFiles closes open files.
func CloseFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// CloseFiles closes the files that nobody has taken.
func (f *Frame) CloseFiles() {
	CloseFiles(f.Open)
	f.Open = nil
}

// Receive gives a frame the files that have been received for it. If some are missing, its
// value cannot be decoded.
func (f *Frame) Receive(descriptors []int, lost error) {
	var names [][]byte
	err := json.Unmarshal(f.names, &names)
	switch {
	case lost != nil:
		err = fmt.Errorf("open files could not be received: %w", lost)
	case err == nil && (len(names) != len(descriptors) || len(names) != int(f.Files)):
		err = errFiles
	}
	if err != nil {
		CloseAll(descriptors)
		f.err = err
		return
	}
	for i, fd := range descriptors {
		f.Open = append(f.Open, os.NewFile(uintptr(fd), string(names[i])))
	}
}

// errNoRoom says that this process had no room for files.
var errNoRoom error = syscall.EMFILE

// errFiles says that files and values do not go together.
var errFiles = errors.New("files that do not belong to the value")
