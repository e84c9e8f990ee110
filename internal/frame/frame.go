// Package frame is what a function and its caller say to each other: frames, which hold
// parameters and answers, encoded by package value, on pipes, and messages, which hold open files and
// cancellations, on a socket beside them. Who writes them and who reads them stand side by
// side. It is for package conversation, the caller's side, and package serve, the
// function's.
package frame

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"example.com/gons/reexec/internal/value"
)

// A Kind says what a frame is.
type Kind byte

// Kinds of frames. All but the first are answers.
const (
	Param     Kind = 'P' // a parameter; begins a call
	Ready     Kind = 'R' // nothing; the child is in its namespaces and serves calls
	Refusal   Kind = 'S' // text: the child cannot serve at all, and ends
	Event     Kind = 'V' // an event of a stream; more are to come
	Result    Kind = 'A' // the result of a call
	Failed    Kind = 'E' // a Failure
	Panicked  Kind = 'X' // a Panic; the child ends
	Bad       Kind = 'B' // a Failure: a parameter could not be decoded, or an answer not be sent
	Withdrawn Kind = 'W' // nothing: the call was cancelled before it began
)

// A Failure is what travels of an error.
type Failure struct {
	Message string
	Errnos  []syscall.Errno // all that are in its chain
	Is      []int           // which of the wellKnown were in its chain
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
	Value  []byte // see package value

	descriptors []int // of the files that have been received for it
	err         error // why they have not
}

// Decode decodes the value into what pointer points to, which then owns its open files. After an error or a panic they are
// closed. The value may share the memory of the frame.
func (f *Frame) Decode(pointer any) error {
	if f.err != nil {
		return f.err
	}
	descriptors := f.descriptors
	f.descriptors = nil
	return value.Decode(f.Value, descriptors, pointer)
}

// CloseFiles closes open files.
func CloseFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// CloseFiles closes the files that Decode has not taken.
func (f *Frame) CloseFiles() {
	CloseAll(f.descriptors)
	f.descriptors = nil
}

// Receive gives a frame the files that have been received for it. If some are missing, its
// value cannot be decoded.
func (f *Frame) Receive(descriptors []int, lost error) {
	switch f.descriptors = descriptors; {
	case lost != nil:
		f.err = fmt.Errorf("open files could not be received: %w", lost)
	case len(descriptors) != int(f.Files):
		f.err = errFiles
	}
	if f.err != nil {
		f.CloseFiles()
	}
}

// errNoRoom says that this process had no room for files.
var errNoRoom error = syscall.EMFILE

// errFiles says that files and frames do not go together.
var errFiles = errors.New("open files that do not belong to the frame")
