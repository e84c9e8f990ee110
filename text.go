package reexec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Why a run has not begun, in the texts of its errors.
const (
	notStarted  = "child was not started"
	cannotStart = "cannot start child"
	cannotSend  = "cannot send parameter to child"
)

// notBegun returns the error of a run that has not begun.
func (f facts) notBegun(what string, cause error) error {
	f.NotBegun = true
	return f.failure(what+", reason: "+cause.Error(), public(cause))
}

// failure returns an ActionError that says what has happened, and wraps all causes but nil ones.
func (f facts) failure(what string, causes ...error) error {
	text := "gons/reexec: ReexecAction.Run: " + what
	if f.function {
		text = fmt.Sprintf("gons/reexec: function %q: %s", f.name, what)
	}
	causes = slices.DeleteFunc(causes, func(err error) bool { return err == nil })
	err := causes[0]
	if len(causes) > 1 || oneLine(err.Error()) != err.Error() {
		err = causeList(causes)
	}
	return &ActionError{Action: f.name, Stderr: f.Stderr, Err: err, Stack: f.Stack, text: oneLine(text), notStarted: f.NotBegun}
}

// A causeList is one or more errors. Its text is one line.
type causeList []error

func (l causeList) Error() string {
	texts := make([]string, len(l))
	for i, err := range l {
		texts[i] = err.Error()
	}
	return oneLine(strings.Join(texts, "; "))
}

func (l causeList) Unwrap() []error { return l }

// oneLine makes one line of a text, without control characters for a terminal, since it may come
// from a child.
func oneLine(text string) string { return printable(text, "") }

// printable quotes what is neither printable nor to be kept. A newline that is not kept becomes a
// space.
func printable(text, kept string) string {
	var line strings.Builder
	for char := range strings.SplitSeq(text, "") { // what is no UTF-8 comes byte by byte
		r, _ := utf8.DecodeRuneInString(char)
		switch {
		case utf8.ValidString(char) && (unicode.IsPrint(r) || strings.ContainsRune(kept, r)):
		case r == '\n':
			char = " "
		default:
			char = strings.Trim(strconv.Quote(char), `"`)
		}
		line.WriteString(char)
	}
	return line.String()
}
