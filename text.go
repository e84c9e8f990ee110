package reexec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// notStarted is the error of a context that is done before there is a child.
func (f facts) notStarted(cause error) error {
	f.NotBegun = true
	return f.failure("child was not started, reason: "+cause.Error(), cause)
}

// unsent is the error of a parameter that cannot be sent.
func (f facts) unsent(cause error) error {
	f.NotBegun = true
	return f.failure("cannot send parameter to child, reason: "+cause.Error(), cause)
}

// cannotStart is the error of a child that cannot be started.
func (f facts) cannotStart(cause error) error {
	f.NotBegun = true
	return f.failure("cannot start child, reason: "+cause.Error(), public(cause))
}

// failure returns an ActionError: what happened, and the causes.
func (f facts) failure(what string, causes ...error) error {
	if f.function {
		return f.bare(fmt.Sprintf("gons/reexec: function %q: %s", f.name, what), causes...)
	}
	return f.bare("gons/reexec: ReexecAction.Run: "+what, causes...)
}

// bare is failure with the whole text.
func (f facts) bare(text string, causes ...error) error {
	causes = slices.DeleteFunc(causes, func(err error) bool { return err == nil })
	err := causes[0]
	if len(causes) > 1 || oneLine(err.Error()) != err.Error() {
		err = causeList(causes)
	}
	return &ActionError{Action: f.name, Stderr: f.Stderr, Err: err, Stack: f.Stack, text: oneLine(text), notStarted: f.NotBegun}
}

// A causeList is several errors, or one of several lines, in one line.
type causeList []error

func (l causeList) Error() string {
	texts := make([]string, len(l))
	for i, err := range l {
		texts[i] = err.Error()
	}
	return oneLine(strings.Join(texts, "; "))
}

func (l causeList) Unwrap() []error { return l }

// oneLine makes one line of a text, without anything that a terminal would obey: a text
// may be a child's.
func oneLine(text string) string { return printable(text, "") }

// printable returns a text in which all is quoted that is neither printable nor kept. A newline that is not kept is a
// space.
func printable(text, kept string) string {
	isPlain := func(r rune) bool { return r != utf8.RuneError && unicode.IsPrint(r) || strings.ContainsRune(kept, r) }
	if strings.IndexFunc(text, func(r rune) bool { return !isPlain(r) }) < 0 {
		return text
	}
	var line strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case isPlain(r) || r == utf8.RuneError && size > 1:
			line.WriteString(text[:size])
		case r == '\n':
			line.WriteByte(' ')
		default:
			quoted := strconv.Quote(text[:size])
			line.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	return line.String()
}
